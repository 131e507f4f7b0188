"""What mkdocs does beside building: pages from files outside docs/, and links to such files.

Pages link to files of the repository, such as ``../benchmarks/README.md``, so that they work wherever the repository is
read. The site holds only docs/: there a link to CONTRIBUTING.md leads to its page, and one to any other file becomes
plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# file of the repository: its page on the site
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages that are written outside docs/."""
    root = os.path.dirname(config.config_file_path)  # noqa: PTH120
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=os.path.join(root, source)))  # noqa: PTH118
    return files


def on_page_markdown(markdown: str, /, *, page: Page, **_: Any) -> str:
    """Turn links to files that the site does not hold into text, and those to added pages into links to these."""
    source = {target: name for name, target in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder, here = posixpath.dirname(source), posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        text, target, anchor = link[1], posixpath.normpath(posixpath.join(folder, link[2])), link[3] or ""
        if target in PAGES:
            return f"[{text}]({posixpath.relpath(PAGES[target], here or '.')}{anchor})"
        if target.startswith("docs/"):
            return f"[{text}]({posixpath.relpath(target.removeprefix('docs/'), here or '.')}{anchor})"
        return text if target in text.strip("`") else f"{text} (`{target}`)"

    return _LINK.sub(replaced, markdown)
