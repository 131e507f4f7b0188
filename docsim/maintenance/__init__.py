"""Looking after an index: status, verification and repair."""
