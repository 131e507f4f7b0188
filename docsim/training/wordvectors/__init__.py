"""Encoders made from published word vectors."""
