"""``docsim encoder compare``: how far two encoders agree over an index, and which one ranks better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from docsim.cli import chosen_index, encoder_facts, options
from docsim.cli.grouping import grouped
from docsim.cli.output import Output, echo, print_json
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.evaluation import comparison, judgements
from docsim.evaluation.comparison import Agreement, EncodedTwice, JudgedComparison
from docsim.evaluation.judgements import Qrels

__all__ = ["compare"]


@dataclass(frozen=True, slots=True)
class _Measures:
    """What to compare the encoders by."""

    k: int
    sample: int
    qrels: Path | None
    queries: Path | None

    def judgements(self) -> tuple[Qrels | None, Mapping[str, str] | None]:
        """Read the judgements, and the queries' texts."""
        qrels = judgements.read_qrels(self.qrels) if self.qrels else None
        return qrels, judgements.read_queries(self.queries) if self.queries else None


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two encoders, and what was found."""

    encoders: tuple[Encoder, Encoder]
    documents: EncodedTwice
    agreement: Agreement
    judged: JudgedComparison | None


@click.command(
    "compare",
    epilog="""\b
Examples:
  docsim encoder compare fast encoders/ours --index indexes/handbook
  docsim encoder compare fast encoders/ours --qrels related.txt           which one ranks better?
""",
)
@click.argument("a")
@click.argument("b")
@chosen_index.index_option
@grouped(
    _Measures,
    "measures",
    options.hits,
    click.option(
        "--sample", type=click.IntRange(min=1), default=300, show_default=True, help="Documents to use as queries."
    ),
    click.option("--qrels", type=options.existing_file, help="Relevance judgements (TREC qrels) to evaluate both by."),
    options.queries_option,
)
@options.output
def compare(a: str, b: str, index_path: Path | None, measures: _Measures, output: Output) -> None:
    """Show how far two encoders agree on the documents of an index, and which one ranks better.

    A and B are directories of encoders, or "fast" or "accurate" for one that docsim ships. The indexed texts are
    encoded again with both and searched exactly; of more than 20,000 passages, a random sample.
    """
    if measures.queries and not measures.qrels:
        raise UsageError("expected --qrels with --queries, got --queries alone")
    qrels, texts = measures.judgements()
    encoders = Encoder.load(a), Encoder.load(b)
    with chosen_index.open_index(index_path) as index:
        documents = comparison.encode_twice(index.engine, encoders, include=list(_judged_ids(qrels or {})))
    agreement = comparison.agreement(documents, k=measures.k, queries=measures.sample)
    judged = comparison.compare_by_judgements(documents, qrels, encoders, texts=texts) if qrels else None
    found = _Compared(encoders, documents, agreement, judged)
    if output.as_json:
        print_json(_json(found))
    else:
        _print(found, quiet=output.quiet)


def _judged_ids(qrels: Qrels) -> Iterator[str]:
    """Yield the ids of all judged queries and documents, which may be indexed documents."""
    for query, grades in qrels.items():
        yield query
        yield from grades


def _json(found: _Compared) -> dict[str, object]:
    shown: dict[str, object] = {
        "a": encoder_facts.facts(found.encoders[0]),
        "b": encoder_facts.facts(found.encoders[1]),
        "documents": len(found.documents.ids),
        "documents_in_index": found.documents.documents,
        "passages": len(found.documents.first.rows),
        "agreement": asdict(found.agreement),
    }
    if judged := found.judged:
        shown["queries"] = judged.first.queries
        shown["metrics"] = {
            name: {"a": judged.first.metrics[name].value, "b": judged.second.metrics[name].value}
            | {"difference": one.difference.value, "interval": [one.difference.low, one.difference.high]}
            | {"p": one.p, "significant": one.significant}
            for name, one in judged.difference.items()
        }
    return shown


def _print(found: _Compared, *, quiet: bool) -> None:
    agreement = found.agreement
    echo(f"overlap@{agreement.k:<4} {agreement.overlap:.4f}")
    echo(f"same first   {agreement.same_first:.4f}")
    if agreement.cosine is not None:
        echo(f"cosine       {agreement.cosine:.4f}, 5 % below {agreement.lowest_cosine:.4f}")
    if found.judged:
        _print_judged(found.judged)
    if quiet:
        return
    for side, one in zip("AB", found.encoders, strict=True):
        echo(f"{side}: {one.name} ({one.fingerprint[:12]}), {one.dim} components")
    judged = f", {found.judged.first.queries} judged queries" if found.judged else ""
    searched = f"{len(found.documents.ids)} of {found.documents.documents} documents searched"
    echo(f"{agreement.queries} documents as queries{judged}; {searched}")


def _print_judged(judged: JudgedComparison) -> None:
    echo(f"\n{'metric':9}{'A':>8}{'B':>8}{'B - A':>9}{'95 % interval':>20}{'p':>8}")
    for name, one in judged.difference.items():
        mean = one.difference
        verdict = ("better" if mean.value > 0 else "worse") if one.significant else "no significant difference"
        values = [side.metrics[name].value for side in (judged.first, judged.second)]
        numbers = f"{values[0]:8.4f}{values[1]:8.4f}{mean.value:+9.4f}"
        echo(f"{name:9}{numbers}{f'{mean.low:+.4f} to {mean.high:+.4f}':>20}{one.p:8.4f}  {verdict}")
