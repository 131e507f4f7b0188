"""From a query to hits: retrieval, scoring, fusion, re-ranking, percentiles."""
