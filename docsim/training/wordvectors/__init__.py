"""Encoders made from word vectors that others published."""
