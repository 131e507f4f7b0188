"""Encoders made from a larger one: its vocabulary, its embeddings of texts, or the model itself."""
