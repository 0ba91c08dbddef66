"""Bytes that survive: the shared write-ahead log, each stream's message blocks, snapshots.

Synchronous file access behind the Disk protocol; no threads, no clock. Start with FORMAT.md, then disk.py.

* beneath all: disk.py (files), open_files.py (many, few descriptors), frame.py (what is written at once), errors.py;
* the log: wal.py (append, batches), wal_batch.py (one group commit and its files), wal_recovery.py (reading it back),
  group_log.py (one Raft group's view), hard_state.py, identity.py (whose store it is);
* a stream's messages: stream_store.py (in files) and memory.py are the two stores, on message_log.py (appending,
  removing), message_queries.py (asking), message_search.py (finding by subject), message_rows.py; subject_index.py and
  sequence_set.py (what is deleted) are what they know; stream_state.py is that as bytes;
* its blocks: block.py, block_index.py (the rows in a frame), block_files.py (reading), flush.py (writing),
  stream_recovery.py (opening), block_transfer.py (from a peer);
* snapshots.py: a group's state, in two generations.
"""
