"""Notices: what is damaged and was answered around. They are logged, and told with every answer until it is read well.

What reads a file notes how that went, without knowing for whom it reads; ``into`` says where the notes are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

__all__ = ["Notices", "into", "note"]

logger = logging.getLogger(__name__)

Notices: TypeAlias = dict[str, str]
"""What is wrong, one sentence each, by what it is wrong with."""

_kept: ContextVar[Notices | None] = ContextVar("notices", default=None)


@contextmanager
def into(notices: Notices) -> Iterator[None]:
    """Keep what is noted within the block."""
    token = _kept.set(notices)
    try:
        yield
    finally:
        _kept.reset(token)


def note(subject: str, problem: str = "") -> None:
    """Note what is wrong with something, or that nothing is.

    Args:
        subject: What was read, such as ``words``.
        problem: What is wrong, and how it is answered around; empty when nothing is wrong.
    """
    notices = _kept.get()
    if problem:
        logger.warning("%s", problem)
        if notices is not None:
            notices[subject] = problem
    elif notices is not None:
        notices.pop(subject, None)
