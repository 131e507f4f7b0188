"""Another encoder for an index that goes on answering: build, compare, publish, and the way back."""
