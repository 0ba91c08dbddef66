"""Monitoring pages: pure functions from `node.statistics()` to JSON trees. The tree is stated in `statistics.py`."""
