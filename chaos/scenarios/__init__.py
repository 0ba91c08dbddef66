"""Stories: which faults, when, under which workloads. `scenario` is what one is made of; `catalogue` lists them all."""
