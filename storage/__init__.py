"""Bytes that survive: the shared write-ahead log, each stream's message blocks, snapshots.

Synchronous file access behind the Disk protocol; no threads, no clock. Start with FORMAT.md, then disk.py.
"""
