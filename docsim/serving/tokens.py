"""Tokens: what scripts and people show to be let in, and the sessions of people on the page.

A token is 32 random bytes, shown once when it is made. ``server_database`` keeps only its SHA-256: it is too long to be
guessed, so it needs no slow hash. A session is such a token for one browser, for a day; it allows what the token does,
but changes something only from the page itself: see ``docsim.serving.guard``.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from docsim.errors import StoreError, UsageError
from docsim.serving.access import SCOPES, Scope, Viewer
from docsim.serving.server_database import ServerDatabase, instant
from docsim.text.storing import storable

__all__ = ["SESSION_SECONDS", "Token", "Tokens"]

SESSION_SECONDS = 24 * 3600
"""How long a browser stays signed in."""

_NAME = re.compile(r"[\w.@-]{1,64}")
_COLUMNS = "name, scope, groups, created, expires"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Attributes:
        name: Its name.
        scope: What it allows.
        groups: The groups whose documents it shows; None for all documents.
        created: When it was made, ISO 8601 in UTC.
        expires: When it ends, ISO 8601 in UTC; None for never.
    """

    name: str
    scope: Scope
    groups: tuple[str, ...] | None
    created: str
    expires: str | None


class Tokens:
    """The tokens and sessions of an index."""

    def __init__(self, database: ServerDatabase) -> None:
        """Keep them in a database."""
        self._database = database

    def add(
        self, name: str, *, scope: Scope = "read", groups: Sequence[str] | None = None, days: float | None = None
    ) -> str:
        """Make a token, and return it; it cannot be shown again.

        Args:
            name: A name that no other token has: letters, digits and ``. _ @ -``.
            scope: What it allows.
            groups: The groups whose documents it shows, besides everybody's; None for all documents.
            days: For how many days; None for good.

        Raises:
            UsageError: The name is taken or unfit, or a token that may write is to see some documents only.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"expected a name of at most 64 letters, digits and . _ @ - for a token, got {name!r}")
        if scope not in SCOPES:
            raise UsageError(f"expected a scope of {', '.join(SCOPES)}, got {scope!r}")
        if scope != "read" and groups is not None:
            raise UsageError(
                f"expected no groups for a token of scope {scope}, got {', '.join(groups) or 'none of them'}: whoever "
                "writes learns which ids are taken, so such a token sees all documents"
            )
        token = f"docsim_{secrets.token_urlsafe(32)}"
        kept = None if groups is None else json.dumps(sorted(map(storable, groups)))
        expires = None if days is None else instant(time.time() + days * 86400)
        sql = f"INSERT INTO tokens (hash, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
        try:
            self._database.execute(sql, _hash(token), name, scope, kept, instant(), expires)
        except sqlite3.IntegrityError as error:
            raise UsageError(f"expected a new name for a token, got {name!r}, which another token has") from error
        return token

    def list(self) -> list[Token]:
        """Return all tokens by name."""
        return [_token(row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM tokens ORDER BY name")]

    def revoke(self, name: str) -> None:
        """End a token and the sessions that it began, at once.

        Raises:
            UsageError: There is no token of this name.
        """
        if not self._database.execute("DELETE FROM tokens WHERE name = ?", name):
            raise UsageError(f"expected the name of a token, found no token {name!r}")

    def any(self) -> bool:
        """Return whether there are tokens, be they expired."""
        return bool(self._database.rows("SELECT 1 FROM tokens LIMIT 1"))

    def viewer(self, token: str) -> Viewer | None:
        """Return whom a token stands for; None if it is unknown or has expired."""
        sql = f"SELECT {_COLUMNS} FROM tokens WHERE hash = ? AND (expires IS NULL OR expires > ?)"
        rows = self._database.rows(sql, _hash(token), instant())
        return _viewer(_token(rows[0])) if rows else None

    # Sessions

    def begin(self, token: str) -> str | None:
        """Begin a session for who has a token, and return its secret; None if the token is unknown or has expired."""
        if self.viewer(token) is None:
            return None
        session = secrets.token_urlsafe(32)
        with self._database.transaction():
            self._database.execute("DELETE FROM sessions WHERE expires <= ?", instant())
            expires = instant(time.time() + SESSION_SECONDS)
            self._database.execute("INSERT INTO sessions VALUES (?, ?, ?)", _hash(session), _hash(token), expires)
        return session

    def resumed(self, session: str) -> Viewer | None:
        """Return whom a session stands for; None if it or its token has ended."""
        columns = ", ".join(f"t.{name}" for name in _COLUMNS.split(", "))
        sql = (
            f"SELECT {columns} FROM sessions s JOIN tokens t ON t.hash = s.token"
            " WHERE s.hash = ? AND s.expires > ? AND (t.expires IS NULL OR t.expires > ?)"
        )
        rows = self._database.rows(sql, _hash(session), instant(), instant())
        return _viewer(_token(rows[0])) if rows else None

    def end(self, session: str) -> None:
        """End a session."""
        self._database.execute("DELETE FROM sessions WHERE hash = ?", _hash(session))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _token(row: Sequence[Any]) -> Token:
    name, scope, groups, created, expires = row
    try:
        shown = None if groups is None else tuple(json.loads(groups))
        is_sound = scope in SCOPES and isinstance(name, str) and all(isinstance(one, str) for one in shown or ())
    except (TypeError, ValueError):
        is_sound = False
    if not is_sound:
        raise StoreError("the record of a token is damaged; revoke it, and make another")
    return Token(name, scope, shown, created, expires)


def _viewer(token: Token) -> Viewer:
    return Viewer(token.name, None if token.groups is None else frozenset(token.groups), token.scope)
