"""What training learns from: documents, pairs, spans, hard negatives, and the batches made of them."""
