"""The engine of one machine: documents and embeddings in SQLite; FAISS files and a words index to search them."""
