"""The leader's side of consumers, which dies with its term: who gets the next message, and when again. Start at
`delivery`."""
