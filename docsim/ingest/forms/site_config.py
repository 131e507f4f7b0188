"""The configuration of sites: where their pages are, what they are called, and where they are read."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from docsim.errors import SourceError
from docsim.ingest.forms import plain_yaml
from docsim.ingest.forms.prose import joined
from docsim.ingest.trees.tree import Tree

__all__ = ["Site", "is_configuration", "sites"]

_CONFIGURATION = re.compile(
    r"(?:[^/]+/){0,2}(?:(mkdocs)\.ya?ml|(docusaurus)\.config\.(?:js|ts|mjs|cjs)|(conf)\.py|(hugo|config)\.(?:toml|yaml|yml|json))\Z"
)
_QUOTED = r"\s*[:=]\s*[\"'`]([^\"'`\n]+)[\"'`]"
_NUMBER = re.compile(r"^\d+(?:[-_.]\s*|\s*-\s*)(?=\D)")

Kind = Literal["mkdocs", "docusaurus", "sphinx", "hugo"]


@dataclass(frozen=True, slots=True)
class Site:
    """A site.

    Attributes:
        kind: What builds it.
        root: The folder of its configuration, with a slash at its end; empty for the root of the source.
        folder: The folder of its pages, likewise.
        base: The address that the site is read at; empty where the configuration does not say.
        titles: The titles that the navigation gives, by the path of the page.
        sections: The titles of the sections that a page is in, outermost first, by its path or folder.
    """

    kind: Kind
    root: str
    folder: str
    base: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def facts(self, path: str) -> dict[str, Any]:
        """Return what the site says of a page: title and breadcrumb."""
        return {"title": self.titles.get(path, ""), "breadcrumb": list(self._above(path))}

    def _above(self, path: str) -> tuple[str, ...]:
        if path in self.sections:
            return self.sections[path]
        found: list[str] = []
        steps = path[len(self.folder) :].split("/")[:-1]
        for count in range(1, len(steps) + 1):
            named = self.sections.get(self.folder + "/".join(steps[:count]) + "/")
            found += named or ()
        return tuple(found)

    def address(self, path: str, fields: Mapping[str, Any]) -> str:
        """Return the address of a page; empty where the base is not known."""
        if not self.base:
            return ""
        given = str(fields.get("url") or fields.get("slug") or "")
        inner = path[len(self.folder) :].rpartition(".")[0]
        steps = [_NUMBER.sub("", step) if self.kind == "docusaurus" else step for step in inner.split("/")]
        if self.kind == "sphinx":
            return f"{self.base}/{'/'.join(steps)}.html"
        if steps[-1].lower() in ("index", "readme", "_index"):
            steps.pop()
        if given.startswith("/"):
            return self.base + given
        if given and steps:
            steps[-1] = given
        before = ["docs"] if self.kind == "docusaurus" and self.folder.endswith("docs/") else []
        end = "" if self.kind == "docusaurus" else "/"
        return "/".join([self.base, *before, *steps]) + end


def is_configuration(path: str) -> bool:
    """Return whether a file is one of a site, by its name; ``conf.py`` only in its usual place."""
    match = _CONFIGURATION.match(path)
    if match is None:
        return False
    if match[3]:
        return path.split("/")[-2:-1] in (["docs"], ["doc"], ["source"])
    return match[4] != "config"


def sites(tree: Tree) -> list[Site]:
    """Return the sites of a tree, the innermost first. A configuration that cannot be read is none."""
    found: list[Site] = []
    for path in tree.glance():
        match = _CONFIGURATION.match(path)
        if match is None or not (is_configuration(path) or match[4]):
            continue
        with contextlib.suppress(SourceError, ValueError, TypeError, AttributeError, RecursionError):
            found += _site(tree, path, next(filter(None, match.groups())))
    return sorted(found, key=lambda site: -len(site.folder))


def _site(tree: Tree, path: str, kind: str) -> Iterator[Site]:
    root = path[: path.rfind("/") + 1]
    text = tree.text(path)
    if kind == "mkdocs":
        yield _mkdocs(root, text)
    elif kind == "docusaurus":
        base = (_value(text, "url").rstrip("/") + _value(text, "baseUrl")).rstrip("/")
        for folder in ("docs/", "blog/"):
            yield Site("docusaurus", root, root + folder, base, {}, _categories(tree, root + folder))
    elif kind == "conf":
        yield Site("sphinx", root, root, _value(text, "html_baseurl").rstrip("/"))
    elif any(one.startswith(f"{root}content/") for one in tree.glance()):
        given = _hugo(text, path)
        base = str(given.get("baseURL") or given.get("baseurl") or "").rstrip("/")
        yield Site(
            "hugo", root, f"{root}content/", base if "://" in base else "", {}, _indexes(tree, f"{root}content/")
        )


def _value(text: str, name: str) -> str:
    match = re.search(rf"^\s*{name}{_QUOTED}", text, re.MULTILINE)
    return match[1] if match else ""


def _mkdocs(root: str, text: str) -> Site:
    given = _yaml(text)
    docs = joined("", str(given.get("docs_dir") or "docs"))
    folder = f"{root}{docs}/"
    titles: dict[str, str] = {}
    sections: dict[str, tuple[str, ...]] = {}
    for above, title, target in _navigated(given.get("nav"), ()):
        page = folder + joined("", target)
        sections[page] = above
        if title:
            titles[page] = title
    return Site("mkdocs", root, folder, str(given.get("site_url") or "").rstrip("/"), titles, sections)


def _navigated(nav: object, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the sections, the title and the path of every page in a navigation."""
    for one in nav if isinstance(nav, list) else []:
        if isinstance(one, str):
            yield above, "", one
        elif isinstance(one, dict):
            for title, inner in one.items():
                if isinstance(inner, str):
                    yield above, str(title), inner
                else:
                    yield from _navigated(inner, (*above, str(title)))


def _categories(tree: Tree, folder: str) -> dict[str, tuple[str, ...]]:
    """Return the labels of folders that Docusaurus keeps in ``_category_.json`` and ``.yml``."""
    found: dict[str, tuple[str, ...]] = {}
    for path in tree.glance():
        if path.startswith(folder) and re.search(r"/_category_\.(?:json|ya?ml)\Z", path):
            with contextlib.suppress(SourceError, ValueError, AttributeError):
                text = tree.text(path)
                label = (json.loads(text) if path.endswith("json") else _yaml(text)).get("label")
                if label:
                    found[path[: path.rfind("/") + 1]] = (str(label),)
    return found


def _indexes(tree: Tree, folder: str) -> dict[str, tuple[str, ...]]:
    """Return the titles of Hugo's sections, which are in the front matter of their ``_index.md``."""
    found: dict[str, tuple[str, ...]] = {}
    for path in tree.glance():
        if path.startswith(folder) and path.endswith("/_index.md"):
            with contextlib.suppress(SourceError):
                match = re.search(
                    r"^(?:title|linkTitle)\s*[:=]\s*[\"']?([^\n\"']+)", tree.text(path)[:4000], re.MULTILINE
                )
                if match:
                    found[path[: path.rfind("/") + 1]] = (match[1].strip(),)
    return found


def _hugo(text: str, path: str) -> Mapping[str, Any]:
    if path.endswith(".toml"):
        return tomllib.loads(text)
    return _yaml(text) if not path.endswith(".json") else json.loads(text)


def _yaml(text: str) -> Mapping[str, Any]:
    """Parse YAML with all values as strings; tags such as ``!ENV`` are passed over.

    Raises:
        ValueError: It is no YAML, or no mapping.
    """
    found = plain_yaml.parsed(re.sub(r"(?<=[\s:-])!{1,2}[\w/:.]+", "", text))
    if not isinstance(found, dict):
        raise ValueError("expected a mapping")
    return found
