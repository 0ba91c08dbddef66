"""The Raft groups of a node and their one log: stepped together, written together. Start at `engine` and `group`."""
