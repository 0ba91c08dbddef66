"""One stream on this node: its Raft group, what its leader does, and what comes and goes through it. Start at
`stream_group`."""
