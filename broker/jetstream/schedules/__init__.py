"""Messages that make messages at a time (ADR-51). Start at `schedules`."""
