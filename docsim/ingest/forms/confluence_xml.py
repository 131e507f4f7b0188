"""Confluence as XML: all objects of a space in ``entities.xml``, and the attached files by number.

Current pages and posts are documents, with their comments; drafts, deleted pages and earlier versions are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import conversion_pool
from docsim.ingest.content import FileContent, one_line
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import apart, page
from docsim.ingest.forms.xml_stream import elements
from docsim.ingest.trees.tree import Tree
from docsim.models import Document, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_CLASSES = {
    *("Page", "BlogPost", "BodyContent", "Comment", "Attachment", "Space", "Label", "Labelling"),
    *("ConfluenceUserImpl", "InternalUser"),
}


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of the export.

    Attributes:
        kind: Its class.
        id: Its id.
        values: Its properties, by name; where one refers to another object, the id of that.
        lists: The ids of the objects in its collections, by name.
    """

    kind: str
    id: str
    values: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


class _Space:
    """All objects of an export, by kind and id."""

    def __init__(self, objects: Iterator[_Object], base: str) -> None:
        self.of: dict[str, dict[str, _Object]] = defaultdict(dict)
        for one in objects:
            self.of[one.kind][one.id] = one
        self.base = base
        self.people = self._people()
        self.labels = self._labels()
        self.comments = self._below("Comment")
        self.attachments = self._below("Attachment")
        self.bodies = {one["content"]: one["body"] for one in self.of["BodyContent"].values() if one["content"]}
        self.by_title = {
            one["title"]: id for id, one in [*self.of["BlogPost"].items(), *self.of["Page"].items()] if _is_current(one)
        }

    def body(self, one: _Object) -> str:
        """Return the body of a page or comment, in storage format."""
        listed = [
            self.of["BodyContent"][id]["body"]
            for id in one.lists.get("bodyContents", ())
            if id in self.of["BodyContent"]
        ]
        return "\n".join(listed) or self.bodies.get(one.id, "")

    def space(self, one: _Object) -> _Object:
        """Return the space that a page is in; without an id where the export does not say."""
        spaces = self.of["Space"]
        return spaces.get(one["space"]) or (next(iter(spaces.values())) if len(spaces) == 1 else _Object("Space", ""))

    def id(self, one: _Object) -> str:
        """Return the id of the document that a page becomes."""
        key = self.space(one)["key"]
        return f"{key}/{one.id}" if key else one.id

    def page(self, id: str) -> _Object | None:
        """Return a page or post."""
        return self.of["Page"].get(id) or self.of["BlogPost"].get(id)

    def _below(self, kind: str) -> dict[str, list[_Object]]:
        """Return the comments or attachments of each page, those of today only."""
        found: dict[str, list[_Object]] = defaultdict(list)
        for one in self.of[kind].values():
            if _is_current(one):
                found[one["containerContent"] or one["owner"] or one["content"]].append(one)
        return found

    def _people(self) -> dict[str, str]:
        shown = {one["name"]: one["displayName"] for one in self.of["InternalUser"].values()}
        users = self.of["ConfluenceUserImpl"].values()
        return {one.id: one["displayName"] or shown.get(one["name"]) or one["name"] or one.id for one in users}

    def _labels(self) -> dict[str, list[str]]:
        """Return the labels of each page that are no one's favourites."""
        found: dict[str, list[str]] = defaultdict(list)
        names = {one.id: one["name"] for one in self.of["Label"].values() if one["namespace"] != "my"}
        for one in self.of["Labelling"].values():
            if one["label"] in names and one["content"]:
                found[one["content"]].append(names[one["label"]])
        for kind in ("Page", "BlogPost"):
            for id, post in self.of[kind].items():
                listed = (self.of["Labelling"].get(number) for number in post.lists.get("labellings", ()))
                found[id] += [names[one["label"]] for one in listed if one is not None and one["label"] in names]
        return found


def recognise(tree: Tree) -> bool:
    """Return whether a tree holds the objects of an export."""
    names = tree.glance()
    return "entities.xml" in names and b"hibernate-generic" in tree.read("entities.xml", most=2000)


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the pages and posts of an export, each followed by its attachments."""
    base = ""
    if "exportDescriptor.properties" in tree:
        described = re.search(
            r"^base[-.]?url=(.+)$", tree.text("exportDescriptor.properties"), re.MULTILINE | re.IGNORECASE
        )
        base = described[1].strip().replace("\\", "").rstrip("/") if described else ""
    with tree.open("entities.xml") as stream:
        objects = (one for one in elements(stream, "hibernate-generic", "object") if one.get("class") in _CLASSES)
        space = _Space(map(_object, objects), base)
    files: dict[str, list[str]] = defaultdict(list)  # all versions of each attached file
    for path in tree.files:
        files[path.rpartition("/")[0]].append(path)
    for id, found in apart.in_order(_works(tree, space, files)):
        yield Failure(id, str(found)) if isinstance(found, SourceError) else found


def _works(tree: Tree, space: _Space, files: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Callable[[], Item]]]:
    """Yield the id of each page, post and attachment, and what makes it a document."""
    for one in [*space.of["Page"].values(), *space.of["BlogPost"].values()]:
        if _is_current(one):
            yield from _page(tree, space, one, files)
        elif not (one["originalVersion"] or one["originalVersionId"]):
            yield space.id(one), apart.Done(LeftOut(space.id(one), f"{one['contentStatus']} page"))


def _is_current(one: _Object) -> bool:
    is_old = one["originalVersion"] or one["originalVersionId"]
    return not is_old and one["contentStatus"] in ("current", "")


def _object(element: Any) -> _Object:
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for one in element.iterchildren("property", "collection"):
        name, listed = (
            str(one.get("name")),
            one.tag == "collection" or next(one.iterchildren("collection"), None) is not None,
        )
        if listed:
            lists[name] = [(id.text or "").strip() for id in one.iter("id")]
        else:
            inner = one.find("id")
            values[name] = (inner.text if inner is not None else one.text) or ""
    id = element.find("id")
    return _Object(str(element.get("class")), ((id.text if id is not None else "") or "").strip(), values, lists)


def _page(
    tree: Tree, space: _Space, one: _Object, files: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Callable[[], Item]]]:
    id = space.id(one)
    attached = list(_attachments(space, one, files))
    yield id, partial(_document, space, one, [f"{id}/{name}" for name, _ in attached], tree.how)
    for name, versions in attached:
        named = f"{id}/{name}"
        file = page.attachment(tree, versions[-1], named, parent=id, space=space.space(one)["key"])
        yield named, apart.Done(file)
        yield from ((path, apart.Done(LeftOut(path, "earlier version"))) for path in versions[:-1])


def _attachments(space: _Space, one: _Object, files: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each attached file, and the paths of its versions, the newest last."""
    for file in space.attachments.get(one.id, ()):
        versions = sorted(files.get(f"attachments/{one.id}/{file.id}", ()), key=lambda path: (len(path), path))
        if versions:
            yield one_line(file["title"] or file["fileName"]).replace("/", "_"), versions


def _document(space: _Space, one: _Object, attachments: list[str], how: Conversion) -> Document:
    body = _parsed(space, one, how)
    above = list(_above(space, one))
    home = space.space(one)
    said = sorted(space.comments.get(one.id, ()), key=lambda comment: comment["creationDate"])
    comments = [_comment(space, comment, how) for comment in said]
    text = "\n\n".join(filter(None, [f"# {one['title']}", body.text, "## Comments" if comments else "", *comments]))
    return page.page(
        space.id(one),
        text,
        one["title"],
        url=f"{space.base}/pages/viewpage.action?pageId={one.id}" if space.base else "",
        author=_person(space, one, "creator"),
        editor=_person(space, one, "lastModifier"),
        created=page.iso(one["creationDate"]),
        updated=page.iso(one["lastModificationDate"]),
        space=home["key"],
        space_name=home["name"],
        labels=sorted(set(space.labels.get(one.id, ()))),
        breadcrumb=[home["name"] or home["key"], *(page["title"] for page in above)]
        if home.id
        else [page["title"] for page in above],
        parent=space.id(above[-1]) if above else "",
        links=_links(space, body),
        attachments=attachments,
    )


def _person(space: _Space, one: _Object, role: str) -> str:
    return space.people.get(one[role], one[role]) or one[f"{role}Name"]


def _above(space: _Space, one: _Object) -> Iterator[_Object]:
    """Yield the pages above a page, the topmost first."""
    found: list[_Object] = []
    while (parent := space.page(one["parent"])) is not None and parent not in found:
        found.append(parent)
        one = parent
    return reversed(found)


def _comment(space: _Space, one: _Object, how: Conversion) -> str:
    author, date = _person(space, one, "creator"), page.iso(one["creationDate"])
    return f"**{author}**, {date}:\n\n{_parsed(space, one, how).text}"


def _parsed(space: _Space, one: _Object, how: Conversion) -> FileContent:
    body = space.body(one).encode("utf-8", "surrogatepass")
    return conversion_pool.parse(body, "confluence_storage", how=how)


def _links(space: _Space, body: FileContent) -> list[str]:
    found = (space.page(space.by_title.get(title, "")) for title in body.metadata["pages"])
    return [space.id(one) for one in found if one is not None]
