"""The examination of a new generation: it is compared with the live one, and what was found is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docsim.engine.local import encoders, snapshots
from docsim.engine.local.store import Generation, Store, now
from docsim.errors import EncoderError
from docsim.evaluation.judgements import Qrels
from docsim.index import Index
from docsim.reindex import gate, gate_report, instant, questions
from docsim.reindex.gate_report import Upgrade

__all__ = ["Gate", "examined"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a new generation has to pass.

    Attributes:
        max_loss: How much worse nDCG@10 may be than that of the live one, in [0, 1].
        qrels: The user's judgements; without them spans are held out of the documents.
        texts: The judged queries by id; without them queries are indexed documents.
        threshold: The similarity from which on the user takes hits for good, to be mapped to the new encoder.
        report: Where the report goes; into the generation's directory when not given.
        publish_anyway: Publish a sound generation even if it is worse.
    """

    max_loss: float = 0.01
    qrels: Qrels | None = None
    texts: Mapping[str, str] | None = None
    threshold: float | None = None
    report: Path | None = None
    publish_anyway: bool = False


def examined(store: Store, path: Path, pair: tuple[Generation, Generation], wanted: Gate) -> tuple[Upgrade, Path]:
    """Compare the live generation with the new one; write the report and what was found."""
    live, new = pair
    with Index.open(path, generation=live.number) as before, Index.open(path, generation=new.number) as after:
        asked = _questions(before, new, wanted)
        verdict = gate.verdict(before, after, asked, max_loss=wanted.max_loss)
        mapped = instant.measured(before, after, list(asked.texts.values())) if asked and verdict.sound else None
    found = Upgrade(live, new, verdict, wanted.threshold, mapped)
    report = wanted.report or snapshots.directory(path, new.number) / "report"
    gate_report.write(report, found)
    quality = verdict.quality
    metrics = {name: one.value for name, one in quality.new.metrics.items()} if quality else {}
    source = quality.questions.source if quality else None
    summary = json.dumps({"metrics": metrics, "source": source, "sound": verdict.sound})
    with store.writing(visible=False):
        sql = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)"
        store.execute(sql, new.number, now(), verdict.passed, summary)
    return found, report


def _questions(live: Index, new: Generation, wanted: Gate) -> questions.Questions | None:
    """Return what to ask both generations; None if the live one's encoder is lost, so that there is a way out."""
    try:
        _ = live.encoder
    except EncoderError:
        return None
    if wanted.qrels is None:
        return questions.held_out(live, only=encoders.unseen(live.path, new))
    return questions.judged(live, wanted.qrels, wanted.texts)
