"""Slack: the export of a workspace, a JSON file for each channel and day.

A message with its answers is one document. Names stand for the ids of users, channels and groups; who joined or left,
messages of bots and deleted ones are left out and told.
"""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import one_line
from docsim.ingest.forms import page
from docsim.ingest.trees.tree import Tree
from docsim.models import Document, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_DAY = re.compile(r"(?P<channel>[^/]+)/\d{4}-\d\d-\d\d\.json\Z")
_LISTS = {"channels.json": "channel", "groups.json": "private channel", "mpims.json": "group", "dms.json": "direct"}
_LEFT_OUT = re.compile(r"(?:channel|group)_(?:join|leave|archive|unarchive|name|topic|purpose|convert_\w+|posting_\w+)"
                       r"|bot_(?:message|add|remove|enable|disable)|tombstone|pinned_item|reminder_add|ekm_access_denied"
                       r"|sh_room_created|huddle_thread|joiner_notification\w*|hidden_by_limit")  # fmt: skip
_MENTION = re.compile(r"<([@#!])([^<>|]+)(?:\|([^<>]*))?>|<((?:https?|mailto|tel)[^<>|]+)(?:\|([^<>]*))?>")


@dataclass(frozen=True, slots=True)
class _Names:
    """What stands for the ids of users and channels."""

    users: Mapping[str, str]
    bots: frozenset[str]
    channels: Mapping[str, Mapping[str, Any]]

    def user(self, id: str) -> str:
        return self.users.get(id, id)

    def plain(self, text: str) -> str:
        """Return the text of a message with names instead of ids, and links as they read."""
        return html.unescape(_MENTION.sub(self._named, text))

    def _named(self, match: re.Match[str]) -> str:
        kind, id, label, address, shown = match.groups()
        if address:
            return f"{shown} ({address})" if shown and shown != address else address.removeprefix("mailto:")
        if kind == "@":
            return f"@{self.user(id) if id in self.users else label or id}"
        if kind == "#":
            return f"#{label or self.channels.get(id, {}).get('name') or id}"
        return f"@{(label or id.partition('^')[0]).removeprefix('@')}" if not id.startswith("date") else label or ""


def recognise(tree: Tree) -> bool:
    """Return whether a tree has the lists of users and channels, and days of channels."""
    names = tree.glance()
    has_lists = "users.json" in names and any(one in names for one in _LISTS)
    return has_lists or (any(one in names for one in _LISTS) and any(_DAY.match(one) for one in names))


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the threads of all channels, channel by channel."""
    names = _names(tree)
    days: dict[str, list[str]] = defaultdict(list)
    for path in tree.files:
        if match := _DAY.match(path):
            days[match["channel"]].append(path)
    for channel, paths in sorted(days.items()):
        messages: list[Mapping[str, Any]] = []
        for path in paths:
            try:
                messages += _objects(tree, path)
            except SourceError as error:
                yield Failure(path, str(error), identified=False)
        yield from _threads(channel, messages, names)


def _names(tree: Tree) -> _Names:
    people = _listed(tree, "users.json")
    users = {str(one.get("id")): _user(one) for one in people}
    bots = frozenset({"USLACKBOT", *(str(one.get("id")) for one in people if one.get("is_bot"))})
    channels: dict[str, Mapping[str, Any]] = {}
    for path, kind in _LISTS.items():
        for one in _listed(tree, path):
            members = [users.get(str(id), str(id)) for id in one.get("members") or ()]
            name = one.get("name") or ", ".join(members) or one.get("id")
            found = {"id": str(one.get("id", "")), "name": name, "kind": kind}
            channels |= {str(one.get("id")): found, str(one.get("name") or one.get("id")): found}
    return _Names(users, bots, channels)


def _user(one: Mapping[str, Any]) -> str:
    profile = one.get("profile") or {}
    named = profile.get("display_name") or profile.get("real_name") or one.get("real_name") or one.get("name")
    return one_line(str(named or one.get("id")))


def _listed(tree: Tree, path: str) -> list[Mapping[str, Any]]:
    return _objects(tree, path) if path in tree else []


def _objects(tree: Tree, path: str) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON file.

    Raises:
        SourceError: It is not a list in JSON.
    """
    try:
        found = json.loads(tree.read(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"expected a list in JSON, got something else: {type(error).__name__}") from error
    if not isinstance(found, list):
        raise SourceError("expected a list in JSON, got something else")
    return [one for one in found if isinstance(one, dict)]


def _threads(channel: str, messages: Sequence[Mapping[str, Any]], names: _Names) -> Iterator[Item]:
    """Yield a document for each message that begins a thread, and the messages that are left out."""
    threads: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for one in messages:
        ts = str(one.get("ts", ""))
        if reason := _reason(one, names.bots):
            yield LeftOut(f"{channel}/{ts}", reason)
        elif ts:
            threads[str(one.get("thread_ts") or ts)][ts] = one
    for root, found in sorted(threads.items()):
        yield _document(channel, root, [found[ts] for ts in sorted(found)], names)


def _reason(message: Mapping[str, Any], bots: frozenset[str]) -> str:
    """Return why a message is left out; empty when it is not."""
    kind = str(message.get("subtype") or "")
    if message.get("hidden") and kind != "thread_broadcast":
        return "deleted message"
    is_app = message.get("bot_id") and not message.get("user")
    if kind.startswith("bot") or is_app or "bot_profile" in message or message.get("user") in bots:
        return "bot message"
    if _LEFT_OUT.fullmatch(kind):
        return "message of Slack"
    return "" if message.get("type", "message") == "message" and _raw(message) else "empty message"


def _raw(message: Mapping[str, Any]) -> str:
    """Return the text of a message as Slack writes it, with that of its attachments and the names of its files."""
    parts = [str(message.get("text") or "") or "".join(_blocks(message.get("blocks")))]
    for one in _dicts(message.get("attachments")):
        told = [one.get(name) for name in ("pretext", "title", "text")]
        parts += [str(text) for text in told if text] or [str(one.get("fallback") or "")]
    for one in _dicts(message.get("files")):
        preview = one.get("preview") or one.get("plain_text") or ""
        parts += [f"File: {one.get('title') or one.get('name') or 'unnamed'}", str(preview)]
    return "\n".join(part for part in parts if part.strip())


def _blocks(value: object) -> Iterator[str]:
    """Yield the texts in blocks, which some apps write in the place of a text."""
    for one in _dicts(value):
        text = one.get("text")
        inner = text.get("text") if isinstance(text, dict) else text
        yield str(inner or "")
        yield from _blocks(one.get("elements"))
        yield "\n" if one.get("type") in ("section", "rich_text_section", "header") else ""


def _dicts(value: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _document(channel: str, root: str, messages: Sequence[Mapping[str, Any]], names: _Names) -> Document:
    known = names.channels.get(channel, {})
    first = names.plain(_raw(messages[0]))
    authors = [_author(one, names) for one in messages]
    said = [f"**{author}**: {names.plain(_raw(one))}" for author, one in zip(authors, messages, strict=True)]
    edited = [str((one.get("edited") or {}).get("ts") or one.get("ts")) for one in messages]
    reactions = sorted({str(one.get("name")) for message in messages for one in _dicts(message.get("reactions"))})
    return page.page(
        f"{channel}/{root}",
        "\n\n".join(said),
        page.summary(first),
        url=_url(messages, known, root),
        author=page.several(authors),
        created=page.iso(messages[0].get("ts")),
        updated=page.iso(max(edited)),
        channel=str(known.get("name") or channel),
        channel_kind=known.get("kind"),
        replies=len(messages) - 1,
        reactions=reactions,
    )


def _author(message: Mapping[str, Any], names: _Names) -> str:
    id = str(message.get("user") or "")
    profile = message.get("user_profile") or {}
    told = profile.get("display_name") or profile.get("real_name") or message.get("username")
    return names.users.get(id) or one_line(str(told or id or "unknown"))


def _url(messages: Sequence[Mapping[str, Any]], channel: Mapping[str, Any], root: str) -> str:
    """Return the address of a thread, as far as the export tells the workspace."""
    id = channel.get("id")
    for one in messages:
        for file in _dicts(one.get("files")):
            if match := re.match(r"https://[\w.-]+\.slack\.com(?=/files/)", str(file.get("permalink", ""))):
                return f"{match[0]}/archives/{id}/p{root.replace('.', '')}" if id else ""
    team = next((str(one["team"]) for one in messages if one.get("team")), "")
    return f"https://app.slack.com/client/{team}/{id}/thread/{id}-{root}" if team and id else ""
