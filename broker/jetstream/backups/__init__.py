"""Snapshots and restores of streams, in nats-server's formats. Start at `backup` and `restore`."""
