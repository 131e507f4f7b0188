"""Norms: checks that embeddings are finite and of unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NORM_TOLERANCE", "are_unit"]

NORM_TOLERANCE = 2e-3
"""How far the norm of a stored embedding may be from 1; rounding to float16 stays below 5e-4."""


def are_unit(rows: NDArray[np.floating]) -> bool:
    """Return whether all rows ``(any, dim)`` are finite and of norm 1, as far as float16 can tell."""
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    return bool(np.all(np.abs(norms - 1) <= NORM_TOLERANCE))  # comparisons with NaN are false
