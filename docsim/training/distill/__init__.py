"""Encoders made from larger models: distilled from the vocabulary or from texts, or imported with their weights."""
