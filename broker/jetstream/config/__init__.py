"""Configurations of streams and consumers: fields and JSON (`…_config`), NATS's checks and defaults (`…_rules`)."""
