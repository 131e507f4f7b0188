"""YAML whose values are all texts: 3.10 is no number, and 2024-01-01 no date."""

from __future__ import annotations

from typing import Any

__all__ = ["parsed"]

_TIMES, _FREE = 10, 1_000_000
"""How many times larger than the file its content may be, with what aliases repeat, and so many characters more."""


def parsed(text: str) -> Any:
    """Parse YAML.

    Raises:
        ValueError: It is no YAML, is nested too deeply, or its aliases repeat parts of it far too often.
    """
    import yaml

    try:
        found = yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if "*" in text and not _is_bounded(found, _FREE + _TIMES * len(text)):
        raise ValueError("its aliases repeat parts of it far too often")
    return found


def _is_bounded(value: object, most: int) -> bool:
    """Return whether a value has at most so many characters and values, each counted as often as it is repeated."""
    waiting = [value]
    while waiting and most >= 0:
        one = waiting.pop()
        most -= 1 + (len(one) if isinstance(one, str) else 0)
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
    return most >= 0
