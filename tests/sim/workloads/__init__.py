"""Who uses the streams of a story, one kind a file: they publish, consume, change. What they learn stands in the
history."""
