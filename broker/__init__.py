"""TernMQ: a Raft-replicated broker that speaks the NATS protocol and the JetStream API."""
