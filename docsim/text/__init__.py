"""Text analysis: words, their folded forms and stems, and the language of a text; the same for documents and queries."""
