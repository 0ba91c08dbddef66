"""Judges: pure functions from histories and observations to complaints. Each is tested with good and bad histories."""
