"""Documents into an engine: one pipeline that splits, encodes and commits batch by batch."""
