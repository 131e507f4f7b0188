"""``docsim encoder compare``: how far two encoders agree over an index, and which one ranks better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from docsim.cli import encoder_facts, options
from docsim.errors import UsageError
from docsim.evaluation import comparison, judgements
from docsim.evaluation.comparison import Agreement, EncodedTwice, JudgedComparison
from docsim.index import Index

__all__ = ["compare"]

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(
    "compare",
    epilog="""\b
Examples:
  docsim encoder compare default encoders/ours --index indexes/handbook
  docsim encoder compare default encoders/ours --qrels related.txt        which one ranks better?
""",
)
@click.argument("a")
@click.argument("b")
@options.index_option
@options.hits
@click.option("--sample", type=click.IntRange(min=1), default=300, show_default=True, help="Documents to ask for.")
@click.option("--qrels", type=_file, help="TREC judgements: also evaluate both.")
@click.option("--queries", type=_file, help='JSONL with "id" and "text".  [default: query ids are indexed documents]')
@options.as_json
@options.output
def compare(a: str, b: str, index_path: Path | None, **given: Any) -> None:
    """Say how far two encoders agree over the documents of an index, and which one ranks better.

    A and B are encoders' directories, or "default" for the one docsim ships. The stored texts are encoded anew with
    both, a random part of them where there are more than 20,000 passages, and searched exactly.
    """
    if given["queries"] and not given["qrels"]:
        raise UsageError("expected --qrels with --queries, got --queries alone")
    qrels = judgements.read_qrels(given["qrels"]) if given["qrels"] else None
    texts = judgements.read_queries(given["queries"]) if given["queries"] else None
    encoders = encoder_facts.load(a), encoder_facts.load(b)
    with Index.open(options.index_directory(index_path)) as index, index.engine.snapshot() as snapshot:
        documents = comparison.encode_twice(snapshot, encoders, include=_judged_ids(qrels or {}))
    agreement = comparison.agreement(documents, k=given["k"], queries=given["sample"])
    judged = comparison.compare_by_judgements(documents, qrels, encoders, texts=texts) if qrels else None
    found = {"a": encoder_facts.facts(encoders[0]), "b": encoder_facts.facts(encoders[1])} | _compared(
        documents, agreement, judged
    )
    if given["as_json"]:
        encoder_facts.echo(found)
    else:
        _print_compared(found, quiet=given["quiet"])


def _judged_ids(qrels: judgements.Qrels) -> Iterator[str]:
    """Yield the ids of all judged queries and documents, which may be indexed documents."""
    for query, grades in qrels.items():
        yield query
        yield from grades


def _compared(documents: EncodedTwice, agreement: Agreement, judged: JudgedComparison | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "documents": len(documents.ids),
        "documents_in_index": documents.documents,
        "passages": len(documents.first.rows),
        "agreement": asdict(agreement),
    }
    if judged is not None:
        found["queries"] = judged.first.queries
        found["metrics"] = {
            name: {"a": judged.first.metrics[name].value, "b": judged.second.metrics[name].value}
            | {"difference": one.difference.value, "interval": [one.difference.low, one.difference.high]}
            | {"p": one.p, "significant": one.significant}
            for name, one in judged.difference.items()
        }
    return found


def _print_compared(found: Mapping[str, Any], *, quiet: bool) -> None:
    agreement = found["agreement"]
    click.echo(f"overlap@{agreement['k']:<4} {agreement['overlap']:.4f}")
    click.echo(f"same first   {agreement['same_first']:.4f}")
    if agreement["cosine"] is not None:
        click.echo(f"cosine       {agreement['cosine']:.4f}, 5 % below {agreement['lowest_cosine']:.4f}")
    if "metrics" in found:
        click.echo(f"\n{'metric':9}{'A':>8}{'B':>8}{'B - A':>9}{'95 % interval':>20}{'p':>8}")
        for name, one in found["metrics"].items():
            low, high = one["interval"]
            verdict = (
                ("better" if one["difference"] > 0 else "worse") if one["significant"] else "no significant difference"
            )
            numbers = f"{one['a']:8.4f}{one['b']:8.4f}{one['difference']:+9.4f}"
            click.echo(f"{name:9}{numbers}{f'{low:+.4f} to {high:+.4f}':>20}{one['p']:8.4f}  {verdict}")
    if quiet:
        return
    for side in ("a", "b"):
        one = found[side]
        click.echo(f"{side.upper()}: {one['name']} ({one['fingerprint'][:12]}), {one['dim']} components")
    asked = f"{agreement['queries']} documents asked for"
    judged = f", {found['queries']} judged queries" if "queries" in found else ""
    click.echo(f"{asked}{judged}; {found['documents']} of {found['documents_in_index']} documents searched")
