"""The rim: sockets, threads and HTTP around the sans-IO node. Start reading at `reactor.py`."""
