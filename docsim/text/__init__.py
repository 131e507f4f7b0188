"""Text analysis: words, their folded forms and stems, and languages; the same for documents and queries."""
