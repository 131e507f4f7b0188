"""Examination: a new generation is compared with the live one, and what was found is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docsim.encoding.encoder import read_manifest
from docsim.engine.base import Rebuilder
from docsim.engine.records import Generation, RecordedVerdict
from docsim.errors import EncoderError
from docsim.evaluation.judgements import Qrels
from docsim.index import Index
from docsim.reindex import gate, gate_report, mapped_recall, probe, questions
from docsim.reindex.gate_report import GateReport
from docsim.use import judgements as use

__all__ = ["DEFAULT_GATE", "GateOptions", "examine"]


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What a new generation has to pass.

    Attributes:
        max_loss: How much lower nDCG@10 may be than that of the live one, in [0, 1].
        qrels: Your judgements; without them, questions are made from the documents, and those are asked as well that
            people asked, as far as it is recorded what they opened.
        use: Whether what people asked may be asked.
        texts: The judged queries by id; without them, queries are indexed documents.
        threshold: A similarity that you use as a limit, to be mapped to the new encoder.
        report: The directory for the report; by default the generation's own.
        publish_anyway: Publish a sound generation even if it is worse.
    """

    max_loss: float = 0.01
    qrels: Qrels | None = None
    texts: Mapping[str, str] | None = None
    threshold: float | None = None
    report: Path | None = None
    publish_anyway: bool = False
    use: bool = True


DEFAULT_GATE = GateOptions()


def examine(index: Index, rebuilder: Rebuilder, new: Generation, options: GateOptions) -> tuple[GateReport, Path]:
    """Compare the live generation with a new one; write the report, and record the verdict.

    Returns:
        What was found, and the directory of the report.
    """
    live = rebuilder.live()
    with index.at(live.number) as before, index.at(new.number) as after:
        asked = _questions(before, new, options)
        verdict = gate.judge(before, after, asked, max_loss=options.max_loss)
        mapped = None
        if asked and verdict.sound:
            mapped = mapped_recall.measure(index, before, after, list(asked.texts.values()))
    found = GateReport(live, new, verdict, options.threshold, mapped)
    directory = options.report or index.engine.report_directory(new.number)
    gate_report.write(directory, found)
    quality = verdict.quality
    metrics = {name: one.value for name, one in quality.new.metrics.items()} if quality else {}
    source = quality.questions.source if quality else None
    rebuilder.record(new.number, RecordedVerdict(verdict.passed, verdict.sound, metrics, source))
    return found, directory


def _questions(live: Index, new: Generation, options: GateOptions) -> questions.Questions | None:
    """Return what to ask both generations; None if the live one's encoder is lost, so that there is a way out."""
    try:
        _ = live.encoder
    except EncoderError:
        return None
    if options.qrels is None:
        made = probe.from_documents(live, only=_unseen(live, new))
        used = questions.used(live, use.of_index(live.path)) if options.use else None
        return questions.Together([made, used]) if used else made
    return questions.judged(live, options.qrels, options.texts)


def _unseen(index: Index, new: Generation) -> list[str]:
    """Return the ids of the documents that a generation's encoder was not trained on, as far as it tells."""
    lineage = read_manifest(index.engine.encoder_directory(new.number)).get("lineage", {})
    return [str(id) for id in lineage.get("held_out", ())]
