"""Core NATS: subjects, subscriptions, sessions of clients, and the router between them. Pure."""
