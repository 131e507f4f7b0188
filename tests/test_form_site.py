"""The sources of sites that MkDocs, Docusaurus, Sphinx and Hugo build, and repositories."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exports import folder, read, zipped

from docsim.models import Document

_MKDOCS = """site_name: Acme
site_url: https://docs.example.com/
nav:
  - Home: index.md
  - Operations:
      - Runbooks:
          - Roll back: ops/rollback.md
      - ops/plain.md
plugins: [search]
markdown_extensions:
  - pymdownx.emoji:
      emoji_index: !!python/name:material.extensions.emoji.twemoji
"""
_ROLLBACK = """# How to go back

!!! warning "Mind the data"
    Back up first.

    ```sh
    pg_dump
    ```

=== "Linux"

    Run it. See [home](../index.md).

??? note
    Hidden.

--8<-- "parts/contact.md"
--8<-- "missing.md"
"""


@pytest.mark.parametrize("write", [folder, zipped])
def test_pages_of_mkdocs(tmp_path: Path, write: Any) -> None:
    files = {
        "mkdocs.yml": _MKDOCS,
        "README.md": "# Project",
        "docs/index.md": "# Welcome",
        "docs/ops/rollback.md": _ROLLBACK,
        "docs/ops/plain.md": '---\ntags: [a]\n---\n# Plain\n!!! note ""\n    x\n',
        "parts/contact.md": "Call **Bo**.",
        "docs/img.png": b"\x89PNG",
    }
    found = read(write(tmp_path / "acme.zip", files), "site")
    assert found["docs/ops/rollback.md"] == Document(
        "docs/ops/rollback.md",
        "# How to go back\n\n> **Mind the data**\n> Back up first.\n>\n> ```sh\n> pg_dump\n> ```\n\n**Linux**\n\nRun it. See [home](../index.md).\n\n"
        '> **Note**\n> Hidden.\n\nCall **Bo**.\n--8<-- "missing.md"',
        "Roll back",
        {
            "breadcrumb": ["Operations", "Runbooks"],
            "url": "https://docs.example.com/ops/rollback/",
            "links": ["docs/index.md"],
        },
    )
    plain = found["docs/ops/plain.md"]
    assert (plain.title, plain.metadata) == (
        "Plain",
        {"labels": ["a"], "breadcrumb": ["Operations"], "url": "https://docs.example.com/ops/plain/"},
    )
    assert found["README.md"] == Document("README.md", "# Project", "Project")
    assert found["docs/index.md"].metadata["url"] == "https://docs.example.com/"


def test_pages_of_docusaurus_hugo_and_sphinx(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "web/docusaurus.config.js": "module.exports = {\n  url: 'https://acme.dev',\n  baseUrl: '/tool/',\n};",
        "web/docs/02-guide/_category_.json": {"label": "Guides"},
        "web/docs/02-guide/01-start.mdx": "---\ntitle: Get started\n---\nimport X from '@x';\n\n:::tip Mind\n\nthe *gap*\n\n:::\n\n<X />\n",
        "blog/hugo.toml": 'baseURL = "https://blog.example.com/"\n',
        "blog/content/news/_index.md": "---\ntitle: News of the day\n---\n",
        "blog/content/news/first.md": "+++\ntitle = 'First'\nslug = 'one'\n+++\nHello {{< ref \"x\" >}}",
        "docs/conf.py": "project = 'Acme'\nhtml_baseurl = 'https://sphinx.example.com/en/'\n",
        "docs/index.rst": "Acme\n====\n\n.. toctree::\n   :maxdepth: 2\n\n   guide\n\nSee :doc:`guide` and :ref:`the start <start>`.\n",
        "docs/guide.rst": "Guide\n=====\n\n.. note:: Mind the gap.\n\n.. code-block:: sh\n   :linenos:\n\n   make\n\n.. include:: /part.txt\n",
        "docs/part.txt": "Included.",
    }
    found = read(folder(tmp_path / "all", files), "site")
    start = found["web/docs/02-guide/01-start.mdx"]
    assert (start.text, start.title) == ("**Mind**\n\nthe *gap*", "Get started")
    assert start.metadata == {"breadcrumb": ["Guides"], "url": "https://acme.dev/tool/docs/guide/start"}
    first = found["blog/content/news/first.md"]
    assert (first.title, first.metadata["breadcrumb"], first.metadata["url"]) == (
        "First",
        ["News of the day"],
        "https://blog.example.com/news/one/",
    )
    assert found["docs/index.rst"] == Document(
        "docs/index.rst",
        "Acme\n====\n\nSee guide and the start.",
        "Acme",
        {"url": "https://sphinx.example.com/en/index.html", "links": ["docs/guide.rst"]},
    )
    assert found["docs/guide.rst"].text == "Guide\n=====\n\n**Note** Mind the gap.\n\n\n   make\n\nIncluded.".replace(
        "\n\n\n", "\n\n"
    )


_PYTHON = '''"""Pumps water."""

class Pump:
    """A pump.

    Turn it on.
    """

    def start(self, speed: int, *, slowly: bool = False) -> None:
        """Start it."""

    def _silent(self) -> None: ...

def helper(): pass
'''


def test_a_repository_is_read_with_docstrings(tmp_path: Path) -> None:
    files = {
        ".git/config": '[remote "origin"]\n\turl = https://ana:secret@github.com/acme/pump.git\n',
        "README.md": "# Pump",
        "mkdocs.yml": "site_name: x\nnav: [{Water: water.md}]\n",
        "docs/water.md": "wet",
        "src/acme/pump.py": _PYTHON,
        "src/acme/__init__.py": "",
        "tests/broken.py": "def (",
        "main.go": "package main",
        "ignored.md": "x",
        ".gitignore": "ignored.md\n",
    }
    found = read(folder(tmp_path / "pump", files), "git")
    assert sorted(found.documents) == ["README.md", "docs/water.md", "src/acme/pump.py"]
    assert found["src/acme/pump.py"] == Document(
        "src/acme/pump.py",
        "# acme.pump\n\nPumps water.\n\n## class Pump\n\nA pump.\n\nTurn it on.\n\n### start(self, speed, slowly)\n\nStart it.",
        "acme.pump",
        {"url": "https://github.com/acme/pump/blob/HEAD/src/acme/pump.py", "language": "Python"},
    )
    assert found["docs/water.md"].title == "Water"
    assert found["README.md"].metadata == {"url": "https://github.com/acme/pump/blob/HEAD/README.md"}
    assert {name: found.left_out[name] for name in ("main.go", "ignored.md", "tests/broken.py")} == {
        "main.go": ".go",
        "ignored.md": "ignored",
        "tests/broken.py": "Python without docstrings",
    }
    whole = read(tmp_path / "pump", "git", include=("*.py", "*.go"))
    assert whole["src/acme/pump.py"].text.startswith('"""Pumps water."""')
    assert whole["main.go"].text == "package main"


def test_a_page_that_includes_without_an_end_is_bounded(tmp_path: Path) -> None:
    chain = {f"docs/{at}.txt": f'--8<-- "{at + 1}.txt"\n' * 300 + "x\n" for at in range(8)}
    files = {"mkdocs.yml": _MKDOCS, "docs/large.txt": "word\n" * 100_000, **chain}
    files["docs/index.md"] = "# Home\n\n" + '--8<-- "large.txt"\n' * 5000
    files["docs/chain.md"] = '# Chain\n\n--8<-- "0.txt"\n'
    files["docs/wide.md"] = "# Wide\n\n" + " " * 100_000 + '--8<-- "large.txt"\n'
    pages = read(folder(tmp_path / "site", files), "site").documents.values()
    assert max(len(page.text) for page in pages) < 3_000_000
    home = next(page for page in pages if page.title == "Home")
    assert home.text.count("word") == 200_000
    assert '--8<-- "large.txt"' in home.text


def test_a_file_that_is_too_large_to_be_included_keeps_out_no_other(tmp_path: Path) -> None:
    files = {"mkdocs.yml": _MKDOCS, "docs/large.txt": "word\n" * 1_000_000, "docs/small.txt": "Small but important.\n"}
    files["docs/index.md"] = '# Home\n\n--8<-- "large.txt"\n\n--8<-- "small.txt"\n'
    pages = read(folder(tmp_path / "site", files), "site").documents.values()
    home = next(page for page in pages if page.title == "Home")
    assert "Small but important." in home.text


def test_a_navigation_that_repeats_itself_without_an_end_is_passed_over(tmp_path: Path) -> None:
    lines = [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 12)]
    files = {"mkdocs.yml": f"site_name: x\na0: &a0 [index.md]\n{''.join(lines)}nav: *a11\n", "docs/index.md": "# Home"}
    found = read(folder(tmp_path / "site", files), "site").documents.values()
    assert [page.title for page in found] == ["Home"]
