"""Consumers as every replica knows them: facts (`consumer`), operations (`consumer_apply`), acks, dead letters."""
