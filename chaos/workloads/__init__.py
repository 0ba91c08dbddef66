"""What clients do while things go wrong: P and D publish, C compares and sets, W works a queue, M makes and deletes."""
