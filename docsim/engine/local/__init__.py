"""The engine of one machine: SQLite for what is true, FAISS and FTS5 for finding it fast."""
