"""The quality of search results: judgements, metrics, and the comparison of encoders."""
