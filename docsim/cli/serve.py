"""``docsim serve``: serve an index to a team."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from docsim.cli import chosen_index
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import echo
from docsim.cli.token import default_access_option, rules_option
from docsim.engine import opening
from docsim.use.log import KEEP_DAYS

__all__ = ["serve"]


@dataclass(frozen=True, slots=True)
class _Allowing:
    """Who may ask, and see what."""

    open: bool
    names: tuple[str, ...]
    rules: Path | None
    shown_by_default: str
    proxies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Recording:
    """What is recorded of questions and answers."""

    record: bool
    keep_days: float
    swaps: float


@dataclass(frozen=True, slots=True)
class _Running:
    """How much and how long, and what is said of it."""

    workers: int
    time_limit: float
    in_flight: int
    rate: int
    log_texts: bool


_allowing = grouped(
    _Allowing,
    "allowing",
    click.option(
        "--open", is_flag=True, help="Let anybody read the documents that are for everybody, without a token."
    ),
    click.option("--name", "names", multiple=True, metavar="HOST", help="Also answer requests for this host name."),
    rules_option,
    default_access_option,
    click.option(
        "--trust-proxy",
        "proxies",
        multiple=True,
        metavar="ADDRESS",
        help="Believe X-Forwarded-User and X-Forwarded-Groups from this address or network.",
    ),
)
_recording = grouped(
    _Recording,
    "recording",
    click.option(
        "--record", is_flag=True, help="Record what is asked, shown, opened and said, for docsim judge and adapt."
    ),
    click.option(
        "--keep-days",
        type=click.FloatRange(0, 36500, min_open=True),
        default=KEEP_DAYS,
        show_default=True,
        help="Delete what was recorded after so many days.",
    ),
    click.option(
        "--swaps",
        type=click.FloatRange(0, 1),
        default=0.0,
        help="Share of recorded answers in which two neighbouring hits may be swapped at random, to learn how "
        "often each rank is looked at.  [default: none]",
    ),
)
_running = grouped(
    _Running,
    "limits",
    click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer."),
    click.option(
        "--time-limit",
        type=click.FloatRange(0.1, 3600),
        default=30.0,
        show_default=True,
        metavar="S",
        help="Maximum number of seconds for a request.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Maximum number of requests that a worker handles at once.",
    ),
    click.option(
        "--rate",
        type=click.IntRange(min=0),
        default=0,
        help="Maximum number of requests a minute, for each token and worker.  [default: no limit]",
    ),
    click.option("--log-texts", is_flag=True, help="Log what is searched for."),
)


@click.command(
    epilog="""\b
Examples:
  docsim serve                                       for this machine, at http://127.0.0.1:8080/
  docsim serve --index indexes/handbook --port 9000
  docsim token add anna --group hr && docsim serve --host 0.0.0.0      for others, who need a token
  docsim serve --host 0.0.0.0 --open                 for others, who all see what is for everybody
  docsim serve --watch ~/handbook                    what changes there is found within seconds
  docsim serve --workers 4                           four processes answer
  docsim serve --record                              learn from what people ask and open
  curl 'http://127.0.0.1:8080/v1/search?text=parental+leave&k=3'
"""
)
@chosen_index.index_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--watch",
    multiple=True,
    metavar="SOURCE",
    type=click.Path(exists=True, path_type=Path, resolve_path=True),
    help="Keep the index up to date with this folder or file; may be repeated.",
)
@_allowing
@_recording
@_running
@needs("serve")
def serve(
    index_path: Path | None,
    host: str,
    port: int,
    watch: tuple[Path, ...],
    allowing: _Allowing,
    recording: _Recording,
    limits: _Running,
) -> None:
    """Serve an index: an HTTP API below /v1 and a page.

    With --host, other machines can reach it. This needs tokens (docsim token), a trusted proxy, or --open. Without
    tokens, whoever uses this machine can read everything and change nothing.

    What is written by docsim index, adapt or rollback meanwhile is used from the next request on. SIGTERM and Ctrl-C
    finish what is running, within 10 seconds. Each request is logged to standard error as a line of JSON.
    """
    from docsim.serving import running
    from docsim.serving.settings import Settings

    given = asdict(allowing) | asdict(recording) | asdict(limits)
    given["shown_by_default"] = allowing.shown_by_default == "all"
    given["rules"] = allowing.rules.resolve() if allowing.rules else None
    given["watch"] = tuple(map(str, watch))
    settings = Settings(chosen_index.index_directory(index_path).resolve(), host, port, **given)
    running.check(settings)
    running.run(settings, lambda address: echo(f"Serving {opening.shown(settings.index)} at {address}", err=True))
