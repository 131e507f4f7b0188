"""What users do, as functions that return records: the command line and a server call these."""
