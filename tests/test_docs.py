"""The documentation says what is there: its examples run, its commands exist, its references are up to date."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

import docsim
from docsim import errors
from docsim.cli import main

ROOT = Path(__file__).parent.parent
OTHERS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "corpus/README.md",
    "indexes/README.md",
)
PAGES = [*OTHERS, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def test_the_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    assert _output_of_example("README.md", tmp_path, blocks=1) == [
        "leave You have 28 days of holiday a year. Ask your manager first.",
        "['leave']",
    ]


def test_the_python_examples_of_the_guide_run_one_after_the_other(tmp_path: Path) -> None:
    first, *similarities = _output_of_example("docs/how-to/python.md", tmp_path, blocks=5)
    assert first.startswith("leave ")
    assert len(similarities) == 2  # the rows of a matrix of two texts


@pytest.mark.thorough
def test_the_examples_of_the_integrations_run_one_after_the_other(tmp_path: Path) -> None:
    lines = _output_of_example("docs/how-to/integrations.md", tmp_path, blocks=4)
    assert [line.split()[0] for line in lines if "leave" in line] == ["leave"] * 3
    assert len(lines) == 6
    assert lines[0] == "leave You have 28 days of holiday a year."
    assert lines[2].startswith("leave 0 35 ")


def _output_of_example(page: str, folder: Path, *, blocks: int) -> list[str]:
    found = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == blocks
    command = [sys.executable, "-c", "\n".join(found)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=_environment())
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def test_all_that_is_generated_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}


@pytest.mark.parametrize("document", PAGES)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([\w./*-]+(?:\.py|\.html|(?<=\w)/))`", text))
    assert len(named) > 5
    assert {one for one in named if not any(any(base.glob(one)) for base in (ROOT / "docsim", ROOT))} == set()


def test_the_links_of_the_readme_work_on_the_package_index_too() -> None:
    links = re.findall(r"\]\(([^)\s]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [link for link in links if not re.match("https://|#", link)] == []
    ours = [
        re.match(r"https://(?:raw\.)?github\w*\.com/docsim/docsim/(?:(?:blob|tree)/)?main/(.*)", link) for link in links
    ]
    paths = [found[1] for found in ours if found]
    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", PAGES)
def test_every_command_that_is_shown_exists_with_its_options(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    unknown = [line for line in _shown_commands(text) for _ in _unknown(line)]
    assert unknown == []


def test_an_unknown_command_or_option_in_a_page_would_be_noticed() -> None:
    assert list(_shown_commands("```\n$ docsim index x # a comment\n```\nand `docsim query --mode dense`")) == [
        "docsim query --mode dense",
        "docsim index x",
    ]
    for wrong in ("docsim teach", "docsim index x --fast", "docsim encoder import --out x --int4", "docsim -z"):
        assert list(_unknown(wrong)), wrong
    for right in ("docsim index x --no-prune -q", "docsim --debug query a -k 3", "docsim COMMAND --help"):
        assert not list(_unknown(right)), right


def _shown_commands(text: str) -> Iterator[str]:
    """Yield every command line in a page that begins with docsim, without its comment and what it is piped into."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(docsim [a-z-][^`\n]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*inline, *(line for block in blocks for line in block.splitlines())]:
        for part in re.split(r"\||&&|\$\(", line):
            command = re.sub(r"\s+#.*|\s{3,}.*", "", part.strip().removeprefix("$ "))
            if re.match(r"docsim [a-zA-Z-]", command):
                yield command


def _unknown(line: str) -> Iterator[str]:
    """Yield what a command line names that docsim does not have: a command, or an option of it."""
    words = shlex.split(line.replace("...", ""), posix=True)[1:]
    command: click.Command = main
    for word in words:
        if word.startswith("-"):
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
            if word != "-" and word.split("=")[0] not in known:
                yield word
        elif isinstance(command, click.Group) and word != "COMMAND":
            found = command.get_command(click.Context(command), word)
            if found is None:
                yield word
                return
            command = found


def test_the_reference_describes_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    described = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")}
    assert described >= {name for name in docsim.__all__ if not name.startswith("__")} | set(errors.__all__)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the site is built by mkdocs, which is in the dependency group docs")
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-f",
        str(ROOT / "mkdocs.yml"),
        "-d",
        str(target),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=_environment())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return target


@pytest.mark.thorough
def test_the_site_is_built_without_a_warning(site: Path) -> None:
    pages = {str(path.parent.relative_to(site)) for path in site.rglob("index.html")}
    assert pages >= {".", "tutorial", "how-to/search", "reference/cli", "reference/python", "contributing", "changelog"}
    assert "similar_to" in (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert not list(site.rglob("*.py"))


@pytest.mark.thorough
def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    loaded = [address for path in site.rglob("*.html") for address in _loaded(path.read_text(encoding="utf-8"))]
    styles = [path.read_text(encoding="utf-8") for path in (*site.rglob("*.css"), *site.rglob("*.svg"))]
    loaded += [address for style in styles for address in re.findall(r"url\(\s*[\"']?([^)\"']+)|@import", style)]
    assert len(loaded) > 100
    assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []


def test_what_a_page_loads_is_noticed() -> None:
    page = '<link rel="stylesheet" href="https://a/b.css"><script src="//c/d.js"></script><a href="https://e">f</a>'
    assert _loaded(page) == ["https://a/b.css", "//c/d.js"]


def _loaded(page: str) -> list[str]:
    """Return the addresses of all that a browser loads for a page: not those of links that a reader may follow."""
    found = _Loaded()
    found.feed(page)
    return found.addresses


class _Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.addresses.append(given.get("href", ""))
        elif tag not in ("a", "link"):
            self.addresses += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
