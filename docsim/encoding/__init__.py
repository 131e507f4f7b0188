"""Texts and documents as embeddings: the encoder, its manifest and tokenizer, and the passages of documents."""
