"""Which of people's questions are held out: some decide in the end, some tell when to stop learning from the rest."""

from __future__ import annotations

import hashlib
from typing import Literal

__all__ = ["GATE_SHARE", "PROBE_SHARE", "Part", "part"]

Part = Literal["learn", "probe", "gate"]
"""What a question is for: to learn from, to tell when learning ends, or to decide by in the end."""

GATE_SHARE = 0.2
"""Share of the questions that the gate decides by."""

PROBE_SHARE = 0.1
"""Share of the questions that tell when learning ends."""


def part(key: str) -> Part:
    """Return what a question is for: the same for questions of the same words, whatever their order.

    Args:
        key: The question, in the form that questions are compared in.
    """
    words = " ".join(sorted(set(key.split())))
    place = int.from_bytes(hashlib.sha256(f"part {words}".encode("utf-8", "replace")).digest()[:8]) / 2**64
    return "gate" if place < GATE_SHARE else "probe" if place < GATE_SHARE + PROBE_SHARE else "learn"
