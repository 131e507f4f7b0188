"""Encoder towers in Keras: layers, kinds of towers, their export and their files."""
