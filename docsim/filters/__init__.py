"""Which documents may be found: a condition as a small tree, and the language it is written in."""
