"""A ticket, whatever the tool: what it is about, and what was said about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from docsim.ingest.forms import page
from docsim.models import Document

__all__ = ["Comment", "Ticket", "marked_up"]

_HEADING = re.compile(r"^h([1-6])\.[ \t]+", re.MULTILINE)
_CODE = re.compile(r"\{(code|noformat)(?::[^{}\n]*)?\}(.*?)\{\1\}", re.DOTALL)
_LINK = re.compile(r"\[([^\[\]|\n]+)\|(?:https?://|mailto:|#)[^\[\]\s|]+(?:\|[^\[\]]*)?\]")
_MARKUP = re.compile(
    r"\{(?:color|quote|panel|anchor|info|note|warning|tip|expand)(?::[^{}\n]*)?\}|![\w .-]+(?:\|[^!\n]*)?!"
)


@dataclass(frozen=True, slots=True)
class Comment:
    """What someone said about a ticket; the date is in ISO 8601."""

    author: str
    date: str
    text: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket.

    Attributes:
        key: What people call it, such as ``OPS-17`` or ``#42``; the id of the document.
        title: What it is about.
        text: Its description.
        comments: What was said, in order.
        facts: Metadata, by the names that all forms have.
    """

    key: str
    title: str
    text: str
    comments: tuple[Comment, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return the ticket as a document, which begins with its key, so that it is found by it."""
        said = [f"**{one.author or 'unknown'}**, {one.date}:\n\n{one.text}" for one in self.comments]
        head = [f"{self.key}: {self.title}", self.text, "## Comments" if said else "", *said]
        return page.page(
            self.key, "\n\n".join(filter(None, head)), self.title, **self.facts, comments=len(said) or None
        )


def marked_up(text: str) -> str:
    """Return the markup of Jira as Markdown, as far as it would disturb a reader."""
    if "{" not in text and "|" not in text and "h" not in text and "!" not in text:
        return text
    text = _CODE.sub(lambda match: f"\n```\n{match[2].strip(chr(10))}\n```\n", text)
    return _MARKUP.sub("", _LINK.sub(r"\1", _HEADING.sub(lambda match: "#" * int(match[1]) + " ", text)))
