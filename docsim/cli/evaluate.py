"""``docsim eval`` and ``docsim eval-pairs``: measure an index, or an encoder, against human judgements."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from docsim.cli import chosen_index, options
from docsim.cli.grouping import grouped, needs
from docsim.cli.options import SearchArguments
from docsim.cli.output import Output, echo, print_json, styled
from docsim.cli.progress import watching
from docsim.encoding.documents import encode_texts
from docsim.encoding.encoder import Encoder
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.evaluation import judgements, metrics, significance
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.metrics import RunReport
from docsim.evaluation.significance import Estimate, PerQuery, RunComparison
from docsim.index import Index
from docsim.models import Mode, Ranking, SearchResult
from docsim.progress import Progress

__all__ = ["evaluate", "evaluate_pairs"]

_FORMAT = 1
"""Version of the file that ``--per-query`` writes."""

_QUERIES_TOGETHER = 64
_TEXTS_TOGETHER = 512


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What to measure, and how."""

    qrels: Path
    queries: Path | None
    cutoffs: tuple[int, ...]
    mode: Mode
    where: str | None
    within: str
    exclude_self: bool
    per_query: Path | None
    compare: Path | None

    def arguments(self, names: Sequence[str]) -> SearchArguments:
        """Return the arguments of the searches: rankings that are long enough for all metrics."""
        k = max(100, metrics.depth(names)) + 1  # its own document may be left out
        return {"k": k, "mode": self.mode, "where": self.where, "within": self.within, "ranking": Ranking()}


@dataclass(frozen=True, slots=True)
class _Task:
    """What to ask an index, and how to judge its answers.

    Attributes:
        qrels: Judgements of the queries that can be asked and have a relevant document.
        texts: The queries' texts by id, or None to ask for documents similar to those with the queries' ids.
        exclude_self: Whether a document is no answer to the query of its own id.
        missing: Queries with a relevant document that cannot be asked, as their text or document is not there.
        unjudged: Judged queries without a relevant document.
    """

    qrels: Qrels
    texts: Mapping[str, str] | None
    exclude_self: bool
    missing: int
    unjudged: int


@dataclass(frozen=True, slots=True)
class _About:
    """What the numbers depend on, and what they leave out."""

    missing: int
    without_relevant: int
    relevant_not_indexed: int
    index: str
    generation: int
    encoder: str
    mode: str


_wanted = grouped(
    _Evaluation,
    "wanted",
    click.option(
        "--qrels",
        type=options.existing_file,
        required=True,
        help="Relevance judgements (TREC qrels), in lines of query, 0, document, grade.",
    ),
    options.queries_option,
    click.option(
        "-k",
        "cutoffs",
        type=click.IntRange(1),
        multiple=True,
        help="Also measure at this cutoff. Can be given several times.",
    ),
    options.mode,
    *options.filter_options,
    click.option("--exclude-self", is_flag=True, help="Leave out the document that has the query's id."),
    click.option(
        "--per-query", type=click.Path(path_type=Path, dir_okay=False), help="Write the values of each query here."
    ),
    click.option("--compare", type=options.existing_file, help="Compare with a run that --per-query wrote."),
)


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
@chosen_index.index_option
@_wanted
@options.output
@needs("eval")
def evaluate(index_path: Path | None, wanted: _Evaluation, output: Output) -> None:
    """Measure how well an index finds what people judged relevant.

    Prints nDCG@10, RR@10 and R@100, each from 0 to 1, higher is better, with a 95 % interval. Each is a mean over the
    queries that have a relevant document.

    Without --queries, a query is an indexed document, which is left out of its own hits.
    """
    qrels = judgements.read_qrels(wanted.qrels)
    names = metrics.metrics_at(wanted.cutoffs)
    baseline = _read_run(wanted.compare, qrels) if wanted.compare else None
    _check_folder(wanted.per_query)
    with chosen_index.open_index(index_path) as index:
        task = _task(index, qrels, wanted)
        with watching(quiet=output.quiet) as progress:
            run = _run(index, task, wanted.arguments(names), progress)
        report = metrics.evaluate(run, task.qrels, metrics=names)
        about = _about(index, task, wanted.mode)
    if wanted.per_query:
        _write_run(wanted.per_query, report, qrels, about)
    compared = None if baseline is None else significance.compare(report.per_query, baseline)
    if output.as_json:
        print_json(_json(report, compared) | asdict(about))
    else:
        _print(report, compared)
        if not output.quiet:
            _print_about(report, compared, about)


@click.command(
    "eval-pairs",
    epilog="""\b
Examples:
  docsim eval-pairs default pairs.tsv
  docsim eval-pairs encoders/ours pairs.csv --score-range 0 5 --json
""",
)
@click.argument("encoder")
@click.argument("file", type=options.existing_file)
@click.option("--score-range", type=(float, float), metavar="LOW HIGH", help="Refuse scores outside this range.")
@options.output
@needs("eval")
def evaluate_pairs(encoder: str, file: Path, score_range: tuple[float, float] | None, output: Output) -> None:
    """Measure an encoder against people's scores of pairs of texts.

    Prints Spearman's and Pearson's correlation, each from -1 to 1, higher is better, with a 95 % interval.

    ENCODER is the directory of an encoder, or "fast" or "accurate" for one that docsim ships. FILE is a .tsv, .csv or
    .jsonl table with the columns text_a, text_b and score, or sentence1, sentence2 and score.
    """
    pairs = judgements.read_pairs(file, score_range=score_range)
    loaded = Encoder.load(encoder)
    with watching(quiet=output.quiet) as progress:
        first, second = (
            _encode(loaded, texts, progress)
            for texts in ([pair.text_a for pair in pairs], [pair.text_b for pair in pairs])
        )
    found = significance.correlate(np.einsum("nd,nd->n", first, second), np.array([pair.score for pair in pairs]))
    correlations = {"spearman": found.spearman, "pearson": found.pearson}
    if output.as_json:
        numbers = {**_values(correlations), "intervals": _intervals(correlations)}
        print_json({"pairs": len(pairs), "encoder": loaded.fingerprint, "name": loaded.name, **numbers})
        return
    _print_estimates("correlation", correlations)
    if not output.quiet:
        echo(f"{len(pairs)} pairs, encoder {loaded.name} ({loaded.fingerprint[:12]})")


def _task(index: Index, qrels: Qrels, wanted: _Evaluation) -> _Task:
    """Decide which queries to ask.

    Raises:
        UsageError: There is none that can be asked and has a relevant document.
    """
    texts = judgements.read_queries(wanted.queries) if wanted.queries else None
    exclude_self = texts is None or wanted.exclude_self
    judged = judgements.relevant(judgements.without_self(qrels) if exclude_self else qrels)
    asked = {id: grades for id, grades in judged.items() if (index.has(id) if texts is None else id in texts)}
    if not judged:
        raise UsageError(f"expected a document of grade 1 or more for some query in {wanted.qrels}, found none")
    if not asked:
        place = wanted.queries if texts else index.path
        hint = None if texts else "--queries FILE, if the queries are texts"
        raise UsageError(f"expected the judged queries in {place}, found none of {len(judged)}", hint=hint)
    return _Task(asked, texts, exclude_self, len(judged) - len(asked), len(qrels) - len(judged))


def _run(index: Index, task: _Task, arguments: SearchArguments, progress: Progress) -> dict[str, list[str]]:
    """Return the ids found for each query, best first."""
    run = {}
    progress.begin("queries", len(task.qrels))
    for query, result in _answers(index, task, arguments):
        run[query] = [hit.id for hit in result.hits if not (task.exclude_self and hit.id == query)]
        progress.advance()
    return run


def _answers(index: Index, task: _Task, arguments: SearchArguments) -> Iterator[tuple[str, SearchResult]]:
    if task.texts is None:
        for query in task.qrels:
            yield query, index.similar(query, **arguments)
        return
    queries = list(task.qrels)
    for start in range(0, len(queries), _QUERIES_TOGETHER):
        some = queries[start : start + _QUERIES_TOGETHER]
        yield from zip(some, index.search_many([task.texts[query] for query in some], **arguments), strict=True)


def _encode(encoder: Encoder, texts: Sequence[str], progress: Progress) -> significance.Values:
    """Return the embeddings of the texts, ``(len(texts), dim)``, unit rows."""
    parts = []
    progress.begin("texts", len(texts))
    for start in range(0, len(texts), _TEXTS_TOGETHER):
        some = texts[start : start + _TEXTS_TOGETHER]
        parts.append(encode_texts(encoder, some, role="document"))
        progress.advance(len(some))
    return np.concatenate(parts).astype(np.float64)


@retried
def _about(index: Index, task: _Task, mode: str) -> _About:
    relevant = {id for grades in task.qrels.values() for id, grade in grades.items() if grade >= 1}
    with index.engine.snapshot() as snapshot:
        return _About(
            missing=task.missing,
            without_relevant=task.unjudged,
            relevant_not_indexed=sum(not index.has(id) for id in relevant),
            index=index.engine.address,
            generation=snapshot.generation.number,
            encoder=snapshot.fingerprint,
            mode=mode,
        )


def _values(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    return {name: one.value for name, one in estimates.items()}


def _intervals(estimates: Mapping[str, Estimate]) -> dict[str, list[float]]:
    return {name: [one.low, one.high] for name, one in estimates.items()}


def _json(report: RunReport, compared: Mapping[str, RunComparison] | None) -> dict[str, object]:
    metrics = report.metrics
    summary: dict[str, object] = {
        "queries": report.queries,
        "metrics": _values(metrics),
        "intervals": _intervals(metrics),
    }
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


def _print(report: RunReport, compared: Mapping[str, RunComparison] | None) -> None:
    _print_estimates("metric", report.metrics)
    if compared is None:
        return
    echo(f"\n{'difference':12}{'95 % interval':>24}{'p':>10}")
    for name, one in compared.items():
        mean = one.difference
        verdict = ("better" if mean.value > 0 else "worse") if one.significant else "no significant difference"
        interval = f"{mean.low:+.4f} to {mean.high:+.4f}"
        echo(f"{name:9}{mean.value:+.4f}{interval:>21}{one.p:>10.4f}  {verdict}")


def _print_about(report: RunReport, compared: Mapping[str, RunComparison] | None, about: _About) -> None:
    """Print how many queries there are, and what is left out."""
    shared = next(iter(compared.values())).queries if compared else report.queries
    echo(f"\n{report.queries} queries" + (f", {shared} of them compared" if compared else ""))
    for count, note in (
        (about.missing, "judged queries could not be asked and are left out: neither indexed nor given as texts"),
        (about.without_relevant, "judged queries have no relevant document and are left out"),
        (about.relevant_not_indexed, "relevant documents are not indexed and count as not found"),
    ):
        if count:
            styled(f"{count} {note}", fg="yellow", err=True)


def _print_estimates(head: str, estimates: Mapping[str, Estimate]) -> None:
    width = max(map(len, (head, *estimates)))
    echo(f"{head:{width}}   value  95 % interval")
    for name, one in estimates.items():
        echo(f"{name:{width}}  {one.value:6.4f}  {one.low:.4f} to {one.high:.4f}")


def _check_folder(path: Path | None) -> None:
    if path and not path.parent.is_dir():
        raise UsageError(f"expected a file in a folder that exists for --per-query, got {path}")


def _write_run(path: Path, report: RunReport, qrels: Qrels, about: _About) -> None:
    kept = {name: getattr(about, name) for name in ("index", "generation", "encoder", "mode")}
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
