"""Puts documents into an engine: one pipeline that splits, encodes and commits them batch by batch."""
