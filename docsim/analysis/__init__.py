"""What an index tells about its documents: why two are similar, duplicates, and a map of topics."""
