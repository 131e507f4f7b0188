"""What is said where an extra is missing, by the library and the command line, and how it is found out."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from office_files import docx, paragraph, pdf

from docsim import extras
from docsim.cli import main
from docsim.errors import MissingExtra, UsageError
from docsim.rendering import plots


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find no package of any extra."""
    optional = {name for names in extras.PACKAGES.values() for name in names}

    def found(name: str) -> object:
        return None if name in optional else find_spec(name)

    monkeypatch.setattr(extras, "find_spec", found)
    monkeypatch.setattr(plots, "find_spec", found)


def docsim(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="docsim")
    assert result.exit_code == code, result.output
    return result


def test_what_is_installed_is_available_and_nothing_is_raised() -> None:
    for extra in extras.PACKAGES:
        assert extras.available(extra)
        extras.require(extra, "this")


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("extra", extras.PACKAGES)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(extra: str) -> None:
    with pytest.raises(MissingExtra) as raised:
        extras.require(extra, "docsim map")
    assert str(raised.value) == f'docsim map needs the extra "{extra}": pip install "docsim[{extra}]"'
    assert isinstance(raised.value, UsageError)
    assert isinstance(raised.value, ImportError)
    assert raised.value.exit_code == 2


@pytest.mark.usefixtures("without")
def test_where_an_extra_cannot_be_installed_the_message_says_which_python_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(MissingExtra, match=r"^training needs Python 3\.13 or older, this is Python 3\.14$"):
        extras.require("train", "training")
    with pytest.raises(MissingExtra, match=r'needs the extra "map"'):
        extras.require("map", "a topic map")


@pytest.mark.usefixtures("without")
def test_a_command_refuses_before_it_looks_at_anything(tmp_path: Path) -> None:
    result = docsim("map", "--index", tmp_path / "nothing", "--out", tmp_path / "drawn", code=2)
    assert result.stderr == 'Error: docsim map needs the extra "map": pip install "docsim[map]"\n'


@pytest.mark.usefixtures("without")
def test_help_needs_no_extra() -> None:
    for command in ("map", "train", "adapt", "eval", "sweep", "distill"):
        assert "Usage: docsim" in docsim(command, "--help").stdout


def test_the_training_package_cannot_be_imported_without_its_extra() -> None:
    names = extras.PACKAGES["train"]
    code = f"import sys; sys.modules.update(dict.fromkeys({names!r})); import docsim.training"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'training needs the extra "train": pip install "docsim[train]"' in done.stderr


def test_documents_that_need_an_extra_are_told_once_per_kind_and_read_once_it_is_there(
    tiny_encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, index = tmp_path / "pages", tmp_path / "index"
    folder.mkdir()
    (folder / "soup.md").write_text("Boil the lentils.")
    (folder / "letter.docx").write_bytes(docx(paragraph("Dear cat.")))
    for number in range(7):
        (folder / f"report{number}.pdf").write_bytes(pdf(f"Report {number}"))
    command = ("index", folder, "--index", index, "--encoder", tiny_encoder_dir)
    with monkeypatch.context() as patch:
        patch.setattr(extras, "available", lambda extra: False)
        result = docsim(*command, code=3)
    installing = 'needs the extra "files": pip install "docsim[files]"'
    lines = [line for line in result.stderr.splitlines() if line.startswith("Not read: ")]
    assert lines == [
        f"Not read: letter.docx: reading .docx files {installing}",
        f"Not read: report0.pdf and 6 more: reading .pdf files {installing}; see them all with: docsim status",
    ]
    assert docsim("status", "--index", index).stdout.count(installing) == 8
    assert "8 added" in docsim(*command).stdout
    assert installing not in docsim("status", "--index", index).stdout
