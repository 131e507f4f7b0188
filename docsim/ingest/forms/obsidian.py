"""Obsidian: a vault of notes in Markdown, and canvases.

The ids are the paths, as in any folder. Wikilinks become their text and relations; aliases and tags become metadata;
comments, ids of blocks and marks are no text. What is embedded is a relation, and not repeated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, file_names, formats
from docsim.ingest.content import tidy
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import page, prose
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Document, Entry, Failure, Item

__all__ = ["documents", "recognise"]

_LINK = re.compile(
    r"(?P<embed>!?)\[\[(?P<target>[^\[\]|#^\n]*)(?P<section>[#^][^\[\]|\n]*)?(?:\|(?P<shown>[^\[\]\n]*))?\]\]"
)
_MARKDOWN = re.compile(r"!?\[[^\[\]\n]*\]\(<?([^()<>\n]+?\.md)(?:#[^()<>\n]*)?>?\)")
_TAG = re.compile(r"(?:(?<=\s)|^)#([^\W\d][\w/-]*|\d+[\w/-]*[^\W\d][\w/-]*)", re.MULTILINE)
_COMMENT = re.compile(r"%%.*?%%", re.DOTALL)
_BLOCK = re.compile(r"[ \t]\^[A-Za-z0-9-]+[ \t]*$", re.MULTILINE)
_CALLOUT = re.compile(r"^((?:>[ \t]?)+)\[!([\w-]+)(?:\|[^\]\n]*)?\][+-]?[ \t]*(.*)$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"==(?=\S)([^=\n]+)(?<=\S)==")


class _Vault:
    """The files of a vault, as links name them: by the end of their path, in any case, without ``.md``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._found: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            self._found[_name(path.rpartition("/")[2])].append(path)
        self.digest = hashlib.sha256("\n".join(map(id_of, paths)).encode()).hexdigest()

    def linked(self, target: str, path: str) -> str:
        """Return the file that a link in the file at ``path`` names: the nearest of those that fit; empty for none."""
        wanted = _name(target.strip())
        fitting = [
            one for one in self._found.get(wanted.rpartition("/")[2], ()) if f"/{_name(one)}".endswith(f"/{wanted}")
        ]
        folder = path.rpartition("/")[0]
        return min(fitting, key=lambda one: (one.rpartition("/")[0] != folder, one.count("/"), one), default="")


def recognise(tree: Tree) -> bool:
    """Return whether a tree has the folder of settings that Obsidian makes in every vault."""
    return any(one.startswith(".obsidian/") for one in tree.glance())


def documents(tree: Tree) -> Iterator[Item]:
    """Yield notes, canvases, and the other documents of a vault."""
    found = list(tree.documents(also=("*.canvas",)))
    vault = _Vault([one for one in found if isinstance(one, str)])
    for one in found:
        if not isinstance(one, str):
            yield one
        elif one.endswith((".md", ".canvas")):
            yield _entry(tree, one, vault)
        else:
            yield page.entry(tree, one, id_of(one))


def _entry(tree: Tree, path: str, vault: _Vault) -> Entry | Failure:
    read = _canvas if path.endswith(".canvas") else _note
    try:
        digest = tree.digest(path, "obsidian", vault.digest)
    except SourceError as error:
        return Failure(id_of(path), str(error))
    return page.later(id_of(path), digest, lambda: tree.read(path), lambda data: read(data, path, vault, tree.how))


def _note(data: bytes, path: str, vault: _Vault, how: Conversion) -> Document:
    content = conversion_pool.read(data, file_names.suffix(path), "/".join(path.split("/")[-2:]), how=how)
    links, embeds, tags = dict[str, None](), dict[str, None](), dict[str, None]()

    def named(match: re.Match[str]) -> str:
        target = vault.linked(match["target"], path)
        if target and target != path:
            (embeds if match["embed"] else links)[id_of(target)] = None
        section = (match["section"] or "").lstrip("#^")
        if match["embed"] and not _name(match["target"]).endswith(".md"):
            return ""
        return match["shown"] or " > ".join(filter(None, [match["target"].rpartition("/")[2], section]))

    def change(text: str) -> str:
        text = _BLOCK.sub("", _COMMENT.sub("", text))
        tags.update(dict.fromkeys(_TAG.findall(text)))
        for target in _MARKDOWN.findall(text):
            if linked := vault.linked(target.replace("%20", " "), path):
                links[id_of(linked)] = None
        text = _CALLOUT.sub(lambda match: f"{match[1]}**{match[3] or match[2].capitalize()}**", text)
        return _HIGHLIGHT.sub(r"\1", _LINK.sub(named, text))

    text = prose.changed(content.text, change)
    aliases = _values(content.metadata, "aliases", "alias")
    labels = [one.lstrip("#") for one in _values(content.metadata, "tags", "tag")]
    found = {
        "labels": list(dict.fromkeys([*labels, *tags])),
        "aliases": aliases,
        "links": list(links),
        "embeds": list(embeds),
    }
    others = {name: value for name, value in content.metadata.items() if name not in _RENAMED}
    facts = {**others, **{name: value for name, value in found.items() if value}}
    return Document(id_of(path), tidy(page.aliased(text, aliases)), content.title, facts)


_RENAMED = {"aliases", "alias", "tags", "tag"}
"""Fields of notes that become other metadata."""


def _values(fields: Mapping[str, Any], *names: str) -> list[str]:
    return [str(one) for name in names for one in _listed(fields.get(name))]


def _canvas(data: bytes, path: str, vault: _Vault, _: Conversion) -> Document:
    """Return a canvas: the texts of its cards from top to bottom, and the notes on it as relations."""
    try:
        drawn = json.loads(data or b"{}")
        cards: list[Mapping[str, Any]] = sorted(
            drawn.get("nodes") or (), key=lambda one: (one.get("y", 0), one.get("x", 0))
        )
        texts = [str(one.get("text") or one.get("label") or one.get("url") or "") for one in cards]
        files = [vault.linked(str(one["file"]), path) for one in cards if one.get("file")]
        edges = [str(one["label"]) for one in drawn.get("edges") or () if one.get("label")]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise SourceError(
            f"the file is damaged, or is not the canvas that its name says ({type(error).__name__})"
        ) from error
    text = "\n\n".join(filter(None, [*texts, *edges]))
    text = prose.changed(text, lambda part: _LINK.sub(lambda match: match["shown"] or match["target"], part))
    return page.page(
        id_of(path), text, path.rpartition("/")[2].removesuffix(".canvas"), links=[id_of(one) for one in files if one]
    )


def _name(path: str) -> str:
    """Return how links name a file: with ``.md`` where they name no suffix of a file."""
    lowered = path.lower()
    return lowered if file_names.suffix(lowered) in _SUFFIXES else f"{lowered}.md"


_SUFFIXES = formats.SUFFIXES | {
    ".canvas",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".svg",
    ".webp",
    ".mp3",
    ".mp4",
    ".wav",
    ".webm",
}


def _listed(value: object) -> list[Any]:
    """Return the values of a field that is a list, or a text with commas."""
    if isinstance(value, list):
        return [one for one in value if one not in (None, "")]
    return (
        [one for one in re.split(r"[,\s]\s*" if "," not in str(value) else r",\s*", str(value)) if one] if value else []
    )
