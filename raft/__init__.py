"""Raft as a pure function of its inputs: no clock, no IO, no threads, standard library only.

Start with `raft/README.md` (the rules and where each of them lives), then `node.py`.
"""
