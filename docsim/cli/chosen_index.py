"""The option ``--index``, and how the index is found when it is not given."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import click

from docsim.cli import options
from docsim.engine import opening
from docsim.errors import UsageError
from docsim.index import Index

__all__ = [
    "INDEXES",
    "VARIABLE",
    "index_directory",
    "index_option",
    "known_indexes",
    "named_index",
    "open_index",
    "told",
    "wait_option",
]

INDEXES = Path("indexes")
"""Where indexes are looked for, here and in the folders above."""

_WORD = re.compile(r"[\w@%+=:,./-]+")

VARIABLE = "DOCSIM_INDEX"
"""The variable of the environment that may name an index."""


def _complete_index(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the indexes that begin so; none whose name a shell, which gets it as it is, would not read as one word."""
    return [name for path in known_indexes() if (name := str(path)).startswith(incomplete) and _WORD.fullmatch(name)]


index_option = click.option(
    "--index",
    "index_path",
    type=options.index_path,
    shell_complete=_complete_index,
    help="Directory of the index, or postgresql://HOST/DATABASE?schema=NAME.  "
    f"[default: ${VARIABLE}, or the only index under ./{INDEXES}, here or above]",
)
wait_option = click.option("--wait", is_flag=True, help="Wait for another process that is writing to the index.")


def known_indexes(*, above: bool = True) -> list[Path]:
    """Return the indexes under ``./indexes``, sorted; where there is none, those of the nearest folder above.

    Args:
        above: Whether to look above, too.
    """
    here = Path.cwd()
    for folder in (here, *here.parents) if above else (here,):
        if found := sorted(filter(opening.is_index, (folder / INDEXES).glob("*"))):
            return [Path(os.path.relpath(one, here)) for one in found]
    return []


def index_directory(given: Path | None) -> Path:
    """Return the index to use.

    Args:
        given: What ``--index`` says.

    Raises:
        UsageError: None is given and there is not exactly one to choose.
    """
    if named := named_index(given):
        return named
    known = known_indexes()
    if len(known) == 1:
        return known[0]
    found = ", ".join(map(str, known)) if known else "none"
    raise UsageError(f"expected --index, ${VARIABLE}, or one index under ./{INDEXES}; found {found}")


def named_index(given: Path | None) -> Path | None:
    """Return the index that ``--index`` or the environment names, or None."""
    return given or (opening.folder(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)


def told(path: Path) -> str:
    """Return what ``--index`` takes for an index, as a word of a shell."""
    return shlex.quote(opening.shown(path))


def open_index(given: Path | None) -> Index:
    """Open the index to use, see ``index_directory``."""
    return Index.open(index_directory(given))
