"""Training data: documents, labelled examples, pairs, hard negatives, and the batches made of them."""
