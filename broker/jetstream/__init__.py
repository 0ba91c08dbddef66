"""JetStream: replicated streams and consumers as pure functions of a log. Start at `stream` (the machine) and `ops`
(its log)."""
