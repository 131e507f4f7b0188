"""Models of others as encoders: transformers, exported graphs and static embeddings, from local directories."""
