"""Sources and files as documents: finds, reads and converts them, and splits their texts into passages."""
