"""Use: what people asked an index, what they were shown, opened and found good, and what can be concluded from it."""
