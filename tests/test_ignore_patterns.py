"""Ignore files mean what git says they mean."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from docsim.ingest import ignore_patterns
from docsim.ingest.ignore_patterns import parse
from docsim.ingest.sources import open_source
from docsim.models import Entry

_FILES = [
    "a.md",
    "b.md",
    "ab.md",
    "a/a.md",
    "a/b.md",
    "a/b/a.md",
    "b/a/b/a.md",
    "b/ab/c.md",
    "c d.md",
    "#c.md",
    "!c.md",
]
_PIECES = [
    "a",
    "b",
    "c",
    "d",
    ".md",
    "*",
    "**",
    "?",
    "/",
    "/",
    "[ab]",
    "[]a]",
    "[a-c]",
    "\\",
    "!",
    "#",
    " ",
]
# Git reads a**/b as it documents only where nothing stands before the asterisks, so nothing does here; and to pathspec
# a/** speaks about a/ too, which git leaves to other patterns.
_LINES = (
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda x: not re.search(r"[^/]\*\*|/\*\*$", x))
)
_CUSTOMARY = st.sampled_from(
    ["*", "!*/", "!*.md", "a/", "!a/", "/a", "**/b", "!a/b", "a/**/a.md", "b/*", "*.md", "!a.md"]
)
_RULES = st.lists(st.one_of(_LINES, _CUSTOMARY), max_size=5).map("\n".join)


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("*.log", "x/a.log", True),
        ("/a.md", "x/a.md", None),
        ("x/a.md", "x/a.md", True),
        ("!a.md", "a.md", False),
        ("build/", "build", None),
        ("a/**/b", "a/x/y/b", True),
        ("\\#a", "#a", True),
        ("# a", "# a", None),
        ("a\\ ", "a ", True),
        ("a\\", "a\\", None),
    ],
)
def test_a_pattern_speaks_about_the_paths_that_git_says(pattern: str, path: str, ignored: bool | None) -> None:
    assert parse([pattern]).ignores(path, is_folder=False) is ignored


def test_pathspec_still_marks_the_end_of_a_folder() -> None:
    """If this fails, pathspec has changed: see ``ignore_patterns``, and the upper bound in pyproject.toml."""
    (pattern,) = parse(["build/"]).patterns
    regex = pattern.regex
    assert regex is not None
    assert ignore_patterns._FOLDER_END in regex.groupindex, (
        f"pathspec no longer marks the end of a folder: {regex.pattern}"
    )
    match = regex.search("a/build/x.md")
    assert match is not None
    assert match.end(ignore_patterns._FOLDER_END) == len("a/build/")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all files, to be ignored in every example by other rules."""
    path = tmp_path_factory.mktemp("tree")
    for name in _FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    return path


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
@settings(max_examples=examples(30, 200), deadline=None)
@given(outer=_RULES, inner=_RULES)
@example(outer="", inner="b\n!/")
@pytest.mark.properties
def test_a_tree_is_listed_as_git_lists_it(tree: Path, outer: str, inner: str) -> None:
    (tree / ".gitignore").write_text(outer)
    (tree / "a" / ".gitignore").write_text(inner)
    git = ["git", "-C", str(tree)]
    listed = [*git, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", "--", "*.md"]
    expected = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    found = [entry.path for entry in open_source(str(tree)).entries() if isinstance(entry, Entry)]
    assert sorted(found) == sorted(expected[:-1])


@pytest.mark.parametrize(
    ("pattern", "end", "expected"),
    [
        ("*a" * 40 + "b", "c", None),
        ("*a" * 40 + "b", "b", True),
        ("a*" * 60 + "b", "c", None),
        ("*" * 300 + "b", "c", None),
        ("[ab]*" * 30 + "b", "c", None),
        ("*[!b]" * 30 + "b", "c", None),
    ],
)
def test_many_stars_do_not_take_forever(pattern: str, end: str, expected: bool | None) -> None:
    started = time.monotonic()
    assert parse([pattern]).ignores("a" * 200 + end, is_folder=False) is expected
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("pattern", ["a/**/" * 20 + "z", "**/a/" * 20 + "z", "**/*a*/" * 12 + "z", "a/**/" * 20])
def test_many_double_stars_do_not_take_forever(pattern: str) -> None:
    started = time.monotonic()
    assert parse([pattern]).ignores("aaaa/" * 20 + "a/" * 200 + "b", is_folder=False) is None
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "pattern",
    [
        "*a*b",
        "a*?*b*",
        "*ab*a*",
        "*.a*b",
        "*a*/b*a*b",
        "a**b",
        "*-*a",
        "/*a*?b*/",
        "*[ab]*b",
        "[.-]*[a]*b",
        "a/**/b/**/a",
        "**/a/**/b",
        "**/a*/**/*b/**/-",
        "a/**/b/**",
        "**/a/**/b/",
    ],
)
def test_stars_mean_the_same_as_they_are_tried_one_by_one(pattern: str) -> None:
    (slow,) = GitIgnoreSpec.from_lines([pattern], backend="simple").patterns
    rules = parse([pattern])
    assert slow.regex is not None
    names = ["".join(one) for length in range(1, 7) for one in itertools.product("ab.-/", repeat=length)]
    for name in names:
        (quick,) = rules.patterns
        assert quick.regex is not None
        assert bool(quick.regex.match(name)) == bool(slow.regex.match(name)), name
