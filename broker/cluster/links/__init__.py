"""Connections between the nodes of a cluster: Raft's messages, and what one node does on behalf of another's clients.
Start at `transport`."""
