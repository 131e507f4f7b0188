"""How good answers are: judgements, measures, and encoders compared over an index."""
