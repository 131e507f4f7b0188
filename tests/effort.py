"""How much a test tries: a little with ``make test``, which every change waits for, and more with ``make test-all``."""

from __future__ import annotations

import os

import pytest
from _pytest.mark.structures import ParameterSet

__all__ = ["THOROUGH", "examples", "thorough"]

THOROUGH = os.environ.get("THOROUGH") == "1"
"""Whether this is the long form, as ``make test-all`` asks for."""


def examples(usual: int, thorough: int) -> int:
    """Return how many examples Hypothesis is to try."""
    return thorough if THOROUGH else usual


def thorough(*values: object) -> list[ParameterSet]:
    """Return parameters of a test with which only ``make test-all`` runs it."""
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]
