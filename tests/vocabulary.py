"""Words that the tests' encoder knows, to make random texts of."""

WORDS = [
    "train",
    "ticket",
    "book",
    "keys",
    "signing",
    "rotate",
    "boil",
    "lentils",
    "soup",
    "cook",
    "water",
    "server",
    "deploy",
    "database",
    "backup",
]
