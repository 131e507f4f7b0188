"""``docsim eval`` and ``docsim eval-pairs``: measure an index, or an encoder, against human judgements."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from docsim.cli import options
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.evaluation import judgements, measures
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.measures import Estimate, PerQuery, RunComparison, RunReport
from docsim.index import Index
from docsim.models import SearchResult

__all__ = ["evaluate", "evaluate_pairs"]

_FORMAT = 1
"""Version of the file that ``--per-query`` writes."""

_QUERIES_TOGETHER = 64
_TEXTS_TOGETHER = 512

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True)
class _Task:
    """What to ask an index, and how to judge its answers.

    Attributes:
        qrels: Judgements of the queries that can be asked and have a relevant document.
        texts: The queries' texts by id, or None to ask for documents like those with the queries' ids.
        exclude_self: Whether a document is no answer to the query of its own id.
        missing: Queries with a relevant document that cannot be asked, as their text or document is not there.
        unjudged: Judged queries without a relevant document.
    """

    qrels: Qrels
    texts: Mapping[str, str] | None
    exclude_self: bool
    missing: int
    unjudged: int


@click.command(
    "eval",
    epilog="""\b
Examples:
  docsim eval --qrels related.txt                          documents as queries
  docsim eval --qrels qrels.txt --queries queries.jsonl    texts as queries
  docsim eval --qrels qrels.txt --per-query before.json
  docsim eval --qrels qrels.txt --compare before.json      is it better than before?
""",
)
@options.index_option
@click.option("--qrels", type=_file, required=True, help="TREC judgements: query, 0, document, grade.")
@click.option("--queries", type=_file, help='JSONL with "id" and "text".  [default: query ids are indexed documents]')
@click.option("-k", "cutoffs", type=click.IntRange(1), multiple=True, help="Another cutoff; may be given repeatedly.")
@options.mode
@options.filters
@click.option("--exclude-self", is_flag=True, help="Leave out the document that has the query's id.")
@click.option("--per-query", type=click.Path(path_type=Path, dir_okay=False), help="Write each query's values here.")
@click.option("--compare", type=_file, help="Compare with a run that --per-query wrote.")
@options.as_json
@options.output
@options.needs("eval")
def evaluate(index_path: Path | None, **given: Any) -> None:
    """Measure how well an index finds what people judged relevant: nDCG@10, RR@10 and R@100.

    Each is a mean over the queries that have a relevant document, in [0, 1], higher is better, with its 95 % interval.
    Without --queries a query is the id of an indexed document, which is left out of its own result.
    """
    qrels = judgements.read_qrels(given["qrels"])
    metrics = measures.metrics_at(given["cutoffs"])
    baseline = _read_run(given["compare"], qrels) if given["compare"] else None
    _check_folder(given["per_query"])
    with Index.open(options.index_directory(index_path)) as index:
        task = _task(index, qrels, given)
        k = max(100, measures.depth(metrics)) + 1  # its own document may be left out
        asked = {"k": k, "mode": given["mode"], **options.filtered(given)}
        run = _run(index, task, asked, quiet=given["quiet"])
        report = measures.evaluate(run, task.qrels, metrics=metrics)
        about = _about(index, task) | {"mode": given["mode"]}
    if given["per_query"]:
        _write_run(given["per_query"], report, qrels, about)
    compared = None if baseline is None else measures.compare(report.per_query, baseline)
    if given["as_json"]:
        click.echo(json.dumps(_summary(report, compared) | about, ensure_ascii=False, indent=2))
    else:
        _print(report, compared, about, quiet=given["quiet"])


@click.command(
    "eval-pairs",
    epilog="""\b
Examples:
  docsim eval-pairs default pairs.tsv
  docsim eval-pairs encoders/ours pairs.csv --score-range 0 5 --json
""",
)
@click.argument("encoder")
@click.argument("file", type=_file)
@click.option("--score-range", type=(float, float), metavar="LOW HIGH", help="Refuse scores outside this range.")
@options.as_json
@options.output
@options.needs("eval")
def evaluate_pairs(encoder: str, file: Path, **given: Any) -> None:
    """Measure how well an encoder's similarities agree with people's scores of pairs of texts.

    ENCODER is an encoder's directory, or "default" for the one docsim ships. FILE is a .tsv, .csv or .jsonl table with
    the columns text_a, text_b and score, or sentence1, sentence2 and score. Prints Spearman's and Pearson's
    correlation, in [-1, 1], higher is better, each with its 95 % interval.
    """
    pairs = judgements.read_pairs(file, score_range=given["score_range"])
    loaded = Encoder.default() if encoder == "default" else Encoder.load(encoder)
    first = _encode(loaded, [pair.text_a for pair in pairs], quiet=given["quiet"])
    second = _encode(loaded, [pair.text_b for pair in pairs], quiet=given["quiet"])
    similarities = np.einsum("nd,nd->n", first, second)
    found = measures.correlate(similarities, np.array([pair.score for pair in pairs]))
    correlations = {"spearman": found.spearman, "pearson": found.pearson}
    if given["as_json"]:
        numbers = _values(correlations) | {"intervals": _intervals(correlations)}
        about = {"pairs": len(pairs), "encoder": loaded.fingerprint, "name": loaded.name}
        click.echo(json.dumps(about | numbers, ensure_ascii=False, indent=2))
        return
    _print_estimates("correlation", correlations)
    if not given["quiet"]:
        click.echo(f"{len(pairs)} pairs, encoder {loaded.name} ({loaded.fingerprint[:12]})")


def _task(index: Index, qrels: Qrels, given: Mapping[str, Any]) -> _Task:
    """Decide which queries to ask.

    Raises:
        UsageError: There is none that can be asked and has a relevant document.
    """
    texts = judgements.read_queries(given["queries"]) if given["queries"] else None
    exclude_self = texts is None or given["exclude_self"]
    judged = judgements.relevant(judgements.without_self(qrels) if exclude_self else qrels)
    asked = {id: grades for id, grades in judged.items() if (index.has(id) if texts is None else id in texts)}
    if not judged:
        raise UsageError(f"expected a document of grade 1 or more for some query in {given['qrels']}, found none")
    if not asked:
        place, hint = (given["queries"], "") if texts else (index.path, "; if they are texts, name them with --queries")
        raise UsageError(f"expected the judged queries in {place}, found none of {len(judged)}{hint}")
    return _Task(asked, texts, exclude_self, len(judged) - len(asked), len(qrels) - len(judged))


def _run(index: Index, task: _Task, asked: Mapping[str, Any], *, quiet: bool) -> dict[str, list[str]]:
    """Return the ids found for each query, best first."""
    run = {}
    with _progress("queries", len(task.qrels), quiet=quiet) as advance:
        for query, result in _answers(index, task, asked):
            run[query] = [hit.id for hit in result.hits if not (task.exclude_self and hit.id == query)]
            advance(1)
    return run


def _answers(index: Index, task: _Task, asked: Mapping[str, Any]) -> Iterator[tuple[str, SearchResult]]:
    if task.texts is None:
        for query in task.qrels:
            yield query, index.similar(query, **asked)
        return
    queries = list(task.qrels)
    for start in range(0, len(queries), _QUERIES_TOGETHER):
        some = queries[start : start + _QUERIES_TOGETHER]
        yield from zip(some, index.search_many([task.texts[query] for query in some], **asked), strict=True)


def _encode(encoder: Encoder, texts: Sequence[str], *, quiet: bool) -> measures.Values:
    """Return the embeddings of the texts, ``(len(texts), dim)``, unit rows."""
    parts = []
    with _progress("texts", len(texts), quiet=quiet) as advance:
        for start in range(0, len(texts), _TEXTS_TOGETHER):
            some = texts[start : start + _TEXTS_TOGETHER]
            parts.append(encoder.encode(some))
            advance(len(some))
    return np.concatenate(parts).astype(np.float64)


@contextmanager
def _progress(unit: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(unit, total=total)
        yield lambda done: progress.advance(task, done)


def _about(index: Index, task: _Task) -> dict[str, Any]:
    """Return what the numbers depend on, and what they leave out."""
    generation = index.generation()
    relevant = {id for grades in task.qrels.values() for id, grade in grades.items() if grade >= 1}
    return {
        "missing": task.missing,
        "without_relevant": task.unjudged,
        "relevant_not_indexed": sum(not index.has(id) for id in relevant),
        "index": str(index.path),
        "generation": generation.number,
        "encoder": _answering(index),
    }


def _answering(index: Index) -> str:
    """Return the fingerprint of the encoder that answers."""
    with index.engine.snapshot() as snapshot:
        return snapshot.fingerprint


def _values(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: one.value for name, one in estimates.items()}


def _intervals(estimates: Mapping[str, Estimate]) -> dict[str, list[float]]:
    return {name: [one.low, one.high] for name, one in estimates.items()}


def _summary(report: RunReport, compared: Mapping[str, RunComparison] | None) -> dict[str, Any]:
    metrics = report.metrics
    summary = {"queries": report.queries, "metrics": _values(metrics), "intervals": _intervals(metrics)}
    if compared is not None:
        summary["comparison"] = {
            name: {
                "queries": one.queries,
                "difference": one.difference.value,
                "interval": [one.difference.low, one.difference.high],
                "p": one.p,
                "significant": one.significant,
            }
            for name, one in compared.items()
        }
    return summary


def _print(
    report: RunReport, compared: Mapping[str, RunComparison] | None, about: Mapping[str, Any], *, quiet: bool
) -> None:
    _print_estimates("metric", report.metrics)
    if compared is not None:
        click.echo(f"\n{'difference':12}{'95 % interval':>24}{'p':>10}")
        for name, one in compared.items():
            mean = one.difference
            verdict = ("better" if mean.value > 0 else "worse") if one.significant else "no significant difference"
            interval = f"{mean.low:+.4f} to {mean.high:+.4f}"
            click.echo(f"{name:9}{mean.value:+.4f}{interval:>21}{one.p:>10.4f}  {verdict}")
    if quiet:
        return
    shared = next(iter(compared.values())).queries if compared else report.queries
    click.echo(f"\n{report.queries} queries" + (f", {shared} of them compared" if compared else ""))
    for count, note in (
        (about["missing"], "judged queries could not be asked and are left out: neither indexed nor given as texts"),
        (about["without_relevant"], "judged queries have no relevant document and are left out"),
        (about["relevant_not_indexed"], "relevant documents are not indexed and count as not found"),
    ):
        if count:
            click.secho(f"{count} {note}", fg="yellow", err=True)


def _print_estimates(head: str, estimates: Mapping[str, Estimate]) -> None:
    width = max(map(len, (head, *estimates)))
    click.echo(f"{head:{width}}   value  95 % interval")
    for name, one in estimates.items():
        click.echo(f"{name:{width}}  {one.value:6.4f}  {one.low:.4f} to {one.high:.4f}")


def _check_folder(path: Path | None) -> None:
    if path and not path.parent.is_dir():
        raise UsageError(f"expected a file in a folder that exists for --per-query, got {path}")


def _write_run(path: Path, report: RunReport, qrels: Qrels, about: Mapping[str, Any]) -> None:
    kept = {name: about[name] for name in ("index", "generation", "encoder", "mode")}
    content = {"format": _FORMAT, "judgements": judgements.digest(qrels), **kept, "queries": report.per_query}
    try:
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"could not write {path}: {error.strerror}") from error


def _read_run(path: Path, qrels: Qrels) -> PerQuery:
    """Return the values that ``--per-query`` wrote.

    Raises:
        UsageError: The file is another one, or its values are those of other judgements.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        judged = content["judgements"]
        run = {query: {name: float(v) for name, v in values.items()} for query, values in content["queries"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"expected a file that --per-query wrote, got {path}; write one with --per-query") from None
    if judged != judgements.digest(qrels):
        raise UsageError(f"expected a run over the same judgements, got one over others in {path}; write it anew")
    return run
