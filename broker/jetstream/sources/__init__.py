"""Mirrors and sources: what is asked of an origin, and messages of an origin as they are stored."""
