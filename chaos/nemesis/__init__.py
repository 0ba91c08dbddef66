"""Faults: what befalls the cluster. Each one begins, shows that it bites, and ends (`fault`); a module a kind."""
