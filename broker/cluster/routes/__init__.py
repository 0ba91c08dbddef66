"""Routes to other servers in the NATS route protocol: interest and messages between nodes. Start at `routes`."""
