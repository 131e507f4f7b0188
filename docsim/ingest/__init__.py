"""Anything to documents: folders, files and tables are read, converted and split into passages."""
