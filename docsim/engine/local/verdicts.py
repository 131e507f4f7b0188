"""Verdicts: what was found when a generation was compared with the live one, as the database keeps it."""

from __future__ import annotations

import json

from docsim.engine.local.store import Store, now
from docsim.engine.records import Verdict

__all__ = ["Verdicts"]


class Verdicts(Store):
    """The table of verdicts."""

    def verdict(self, number: int) -> Verdict | None:
        """Return what was found about a generation; None when it was not compared."""
        rows = self.rows("SELECT passed, summary FROM verdicts WHERE generation = ?", number)
        if not rows:
            return None
        passed, told = bool(rows[0][0]), json.loads(rows[0][1])
        return Verdict(passed, bool(told.get("sound", passed)), told.get("metrics", {}), told.get("source"))

    def record(self, number: int, verdict: Verdict) -> None:
        """Keep what was found about a generation."""
        summary = json.dumps({"metrics": verdict.metrics, "source": verdict.source, "sound": verdict.sound})
        with self.writing(visible=False):
            sql = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)"
            self.execute(sql, number, now(), verdict.passed, summary)
