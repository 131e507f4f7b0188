"""``docsim judge``: relevance judgements from use, and from asking."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json, styled
from docsim.errors import UsageError
from docsim.evaluation import judgements
from docsim.index import Index
from docsim.jobs import judging
from docsim.jobs.judging import Answer, Pair
from docsim.text.control_characters import json_text
from docsim.use.judgements import Judged, JudgedQuestion

__all__ = ["judge"]

_SHOWN_CHARACTERS = 600
_ANSWERS: dict[str, Answer] = {"y": "good", "n": "bad", "!": "found"}


@click.command(
    epilog="""\b
Examples:
  docsim judge                                            what is known so far
  docsim judge --out qrels.txt --queries-out queries.jsonl
  docsim judge --ask                                      be asked about the pairs that would teach most
  docsim judge --ask --queries queries.jsonl              ... of questions of your own as well
  docsim eval --qrels qrels.txt --queries queries.jsonl
"""
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the judgements (TREC qrels).")
@click.option("--queries-out", type=click.Path(path_type=Path, dir_okay=False), help="File for the questions (JSONL).")
@click.option(
    "--ask",
    is_flag=True,
    help="Ask you about pairs of a question and a document, beginning with those that teach most.",
)
@click.option(
    "--most", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of pairs to ask about."
)
@options.queries_option
@chosen_index.index_option
@options.output
def judge(
    out: Path | None,
    queries_out: Path | None,
    ask: bool,
    most: int,
    queries: Path | None,
    index_path: Path | None,
    output: Output,
) -> None:
    """Turn what people opened and said into graded relevance judgements.

    The judgements allow for the fact that people open the first hits more often. Machines are left out, and somebody
    who asks the same question again and again counts once. What people say counts more than what they open. docsim
    adapt uses the judgements by itself.
    """
    with chosen_index.open_index(index_path) as index:
        if ask:
            own = judgements.read_queries(queries).values() if queries else ()
            _ask(index, judging.pairs(index, list(own), most=most))
        found = judging.judged(index)
    if out is not None:
        _write(out, "".join(_qrels_lines(found)))
    if queries_out is not None:
        lines = (json_text({"id": one.id, "text": one.text}) for one in found.questions)
        _write(queries_out, "".join(f"{line}\n" for line in lines))
    if output.as_json:
        print_json(asdict(found))
    elif not output.quiet:
        _tell(found)


def _qrels_lines(found: Judged) -> list[str]:
    return [
        f"{id}\t0\t{document}\t{grade}\n"
        for id, grades in found.qrels().items()
        for document, grade in grades.items()
        if not set(document) & set("\t\r\n")
    ]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"expected a file that can be written at {path}; {error.strerror or error}") from error


def _tell(found: Judged) -> None:
    pairs = sum(len(one.judgements) for one in found.questions)
    echo(f"{pairs} judgements of {len(found.questions)} questions, from {found.sessions} sessions")
    if found.left_out:
        echo(f"{found.left_out} sessions left out: of machines, or questions that were only half typed")
    if found.questions and any(one.clicks for each in found.questions for one in each.judgements):
        how = f"measured by {found.swaps} swaps" if found.swaps else "estimated"
        ranks = ", ".join(f"{share:.2f}" for share in found.propensities[:5])
        echo(f"How often the first five ranks are looked at, {how}: {ranks}")
    for one in found.questions:
        for line in _disagreements(one):
            echo(line)


def _disagreements(one: JudgedQuestion) -> list[str]:
    return [
        f"People disagree: {one.text!r}, {each.document}: {each.good} good, {each.bad} bad"
        for each in one.judgements
        if each.disagreement
    ]


def _ask(index: Index, pairs: list[Pair]) -> None:
    """Ask about pairs; every answer is kept at once, so that stopping loses nothing."""
    if not pairs:
        echo(
            "There is nothing to ask about: no question was recorded, or all is known. Try: docsim judge --queries FILE"
        )
    for number, pair in enumerate(pairs, start=1):
        styled(f"\n{number} of {len(pairs)}: {pair.question}", bold=True)
        echo(f"{pair.title or pair.document}  ({pair.document}; {pair.reason})")
        echo(_cut(pair.passage))
        choices = click.Choice([*_ANSWERS, "s", "q"])
        said = click.prompt("An answer? y yes, n no, ! just this, s skip, q quit", type=choices, show_choices=False)
        if said == "q":
            break
        if said != "s":
            judging.answer(index, [(pair.question, pair.document, _ANSWERS[said])])


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN_CHARACTERS else f"{plain[:_SHOWN_CHARACTERS]} ..."
