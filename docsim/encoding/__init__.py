"""Texts to unit vectors: the encoder, its tokenizer, and how documents are split and regrouped."""
