"""The engine of many machines: an index is a schema of a PostgreSQL database with pgvector."""
