"""The rate limit: how many requests a minute each token, or each address without one, may make."""

from __future__ import annotations

import time

__all__ = ["Rate"]


class Rate:
    """How many requests each of many names may make: a bucket that fills steadily and holds a minute's worth."""

    _NAMES = 10_000

    def __init__(self, per_minute: int) -> None:
        """Make empty buckets; ``per_minute`` 0 is no limit."""
        self._full = float(per_minute)
        self._held: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take one request; return 0, or the seconds to wait until there is one to take."""
        if not self._full:
            return 0.0
        now = time.monotonic()
        held, since = self._held.pop(name, (self._full, now))
        held = min(self._full, held + (now - since) * self._full / 60)
        self._held[name] = (held - 1 if held >= 1 else held, now)
        if len(self._held) > self._NAMES:
            del self._held[next(iter(self._held))]  # the one that asked longest ago
        return 0.0 if held >= 1 else (1 - held) * 60 / self._full
