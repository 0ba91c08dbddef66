"""Bugs to be planted (`planting`), by the place where they are."""
