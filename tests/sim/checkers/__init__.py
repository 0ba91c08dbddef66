"""What must hold at the end of a story, one promise a file: `judge(story)` says what does not (`verdict`)."""
