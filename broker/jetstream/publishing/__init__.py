"""From a publish to a stored message: headers, early refusals, batches, and the operations that store (`publish`)."""
