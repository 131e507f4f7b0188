"""Changes the encoder of an index while it answers queries: build, compare, publish, roll back."""
