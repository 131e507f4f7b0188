"""What a folder holds is read, or left out with a reason, and never lost in silence."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path

import pytest

from docsim.ingest.sources import ReadingOptions, open_source
from docsim.models import Document, Entry, Failure, LeftOut


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("Some text")
    return root


def read(root: Path, *include: str) -> list[str]:
    found = open_source(str(root), reading=ReadingOptions(include=include)).entries()
    return [one.path for one in found if isinstance(one, Entry)]


def left_out(root: Path) -> dict[str, str]:
    return {one.path: one.reason for one in open_source(str(root)).entries() if isinstance(one, LeftOut)}


def test_what_is_left_out_is_told_with_its_reason(tmp_path: Path) -> None:
    folder(tmp_path, "a.json", "b.py", ".c/d.md", "ig.md", ".docsimignore", "Makefile", "~$e.docx", "x/index.db")
    (tmp_path / ".docsimignore").write_text("ig.md\n")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "blob").write_bytes(b"\x00\x01")
    (tmp_path / "link.md").symlink_to("ig.md")
    (tmp_path / "x" / "generations").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    assert left_out(tmp_path) == {
        ".c/": "hidden", ".docsimignore": "hidden", "Makefile": "build file", "a.json": ".json", "b.py": ".py",
        "blob": "binary file", "ig.md": "ignored", "link.md": "symbolic link", "pipe.md": "special file",
        "tool": "script", "x/": "docsim index", "~$e.docx": "lock file",
    }  # fmt: skip
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "Call with Dr. Smith",
        "log 2024.11.30",
        "v1.2.3",
        "README.fr",
        "LICENSE.MIT",
        "COPYING.LESSER",
        "Minutes (No. 4)",
        "a. b",
    ],
)
def test_dots_in_a_name_are_not_always_suffixes(tmp_path: Path, name: str) -> None:
    assert read(folder(tmp_path, name)) == [name]


@pytest.mark.parametrize("name", ["main.go", "DATA.csv", "x.tar", "lib.so", "photo.JPG", "a.b.c.yaml"])
def test_other_suffixes_are(tmp_path: Path, name: str) -> None:
    assert list(left_out(folder(tmp_path, name))) == [name]


def test_patterns_include_what_would_be_left_out(tmp_path: Path) -> None:
    folder(tmp_path, "a.json", "deep/b.json", "c.yaml", ".hidden.json")
    assert read(tmp_path, "*.json") == ["a.json", "deep/b.json"]
    assert read(tmp_path, "deep/*", "*.yaml") == ["c.yaml", "deep/b.json"]


def test_tables_that_are_included_are_read_record_by_record(tmp_path: Path) -> None:
    folder(tmp_path, "a.md", "deep/t.jsonl", "deep/u.csv")
    (tmp_path / "deep/t.jsonl").write_text('{"id": 1, "text": "one"}\n{"id": 2}\n')
    found = list(open_source(str(tmp_path), reading=ReadingOptions(include=("*.jsonl", "*.csv"))).entries())
    assert [(type(one).__name__, one.id if isinstance(one, Document) else one.path) for one in found] == [
        ("Entry", "a.md"), ("Entry", "deep/t.jsonl/1"), ("Failure", "deep/t.jsonl/2"), ("LeftOut", "deep/u.csv"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "dangling link", "pipe"])
def test_an_ignore_file_that_is_none_is_passed_over(tmp_path: Path, kind: str) -> None:
    folder(tmp_path, "a.md", "b/c.md")
    for ignore in (tmp_path / ".gitignore", tmp_path / "b" / ".docsimignore"):
        if kind == "folder":
            ignore.mkdir()
        elif kind == "pipe":
            os.mkfifo(ignore)
        else:
            ignore.symlink_to("nowhere")
    assert read(tmp_path) == ["a.md", "b/c.md"]


@pytest.mark.parametrize("linked", [False, True])
def test_ignore_files_above_the_folder_count_in_a_git_work_tree(tmp_path: Path, linked: bool) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path / "main")]
    tree = tmp_path / "main"
    tree.mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    (tree / ".git/info/exclude").write_text("secret.md\n/wiki/team/local.md\n")
    if linked:
        subprocess.run([*git, "commit", "-qm", "x", "--allow-empty"], check=True)
        subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "other")], check=True)
        tree = tmp_path / "other"
    folder(tree, *(f"wiki/team/{name}.md" for name in ("a", "drafts/b", "secret", "local", "keep/secret", "old")))
    (tree / ".gitignore").write_text("wiki/**/drafts/\n")
    (tree / "wiki/.gitignore").write_text("old.md\n")
    (tree / "wiki/team/keep/.gitignore").write_text("!secret.md\n")
    assert read(tree / "wiki" / "team") == ["a.md", "keep/secret.md"]


def test_outside_of_a_work_tree_no_file_above_counts(tmp_path: Path) -> None:
    folder(tmp_path, "docs/a.md")
    (tmp_path / ".gitignore").write_text("a.md\n")
    assert read(tmp_path / "docs") == ["a.md"]


def test_names_are_composed(tmp_path: Path) -> None:
    folder(tmp_path, unicodedata.normalize("NFD", "Größen/Überblick.md"))
    (entry,) = (one for one in open_source(str(tmp_path)).entries() if isinstance(one, Entry))
    assert entry.path == "Größen/Überblick.md"
    assert entry.load().title == "Überblick"


@pytest.mark.parametrize("suffix", ["md", "json"])
def test_whatever_goes_wrong_with_a_file_is_a_failure_of_that_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docsim.errors import SourceError
    from docsim.ingest import formats

    def broken(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(formats, "read", broken)
    (entry,) = (one for one in open_source(str(folder(tmp_path, f"a.{suffix}") / f"a.{suffix}")).entries())
    assert isinstance(entry, Entry)
    with pytest.raises(SourceError, match="could not be read: KeyError"):
        entry.load()


def test_a_link_stays_the_place_of_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "one/a.md", "two/a.md")
    (tmp_path / "current").symlink_to("one")
    assert open_source(str(tmp_path / "current")).location == str(tmp_path / "current")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert open_source(".").location == str(tmp_path / "current")
    assert open_source("..").location == str(tmp_path)
    assert not any(isinstance(one, Failure) for one in open_source(".").entries())
