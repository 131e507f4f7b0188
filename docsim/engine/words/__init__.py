"""The words index: which documents hold which words, and where; see ``docsim.engine.words.segment``."""
