"""Addresses: where an index in PostgreSQL is, as ``postgresql://user@host:port/database?schema=handbook``.

Everything but ``schema`` is handed on to libpq: several hosts, ``service``, ``sslmode``, ``sslrootcert``, ``passfile``,
``target_session_attrs`` and so on. An address never holds a password: other users see it in the list of processes, and
it is shown in messages. libpq takes passwords from ``PGPASSWORD``, from a password file and from a service file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from docsim.errors import UsageError

__all__ = ["DEFAULT_SCHEMA", "PREFIXES", "Address", "is_address", "parsed"]

PREFIXES = ("postgresql://", "postgres://")
"""What an address begins with."""

DEFAULT_SCHEMA = "docsim"
"""The schema of an address that names none."""

_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_SECRETS = {"password", "sslpassword", "oauth_client_secret"}
_NO_SECRETS = (
    "expected an address of PostgreSQL without a password, got one with it; others can see it there: put it into "
    "PGPASSWORD, a password file or a service file"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an index is.

    Attributes:
        server: What libpq is told, without a password and without the schema.
        schema: The schema that holds the index.
    """

    server: str
    schema: str

    def __str__(self) -> str:
        """Return the address as it is shown, and as it can be given again."""
        mark = "&" if "?" in self.server else "?"
        return f"{self.server}{mark}schema={quote(self.schema)}"

    def key(self, purpose: str) -> int:
        """Return the number of the advisory lock of the index for a purpose, signed, 64 bits."""
        digest = hashlib.blake2b(f"docsim {purpose} {self.schema}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)


def is_address(text: str) -> bool:
    """Return whether a text is the address of an index in PostgreSQL."""
    return text.startswith(PREFIXES)


def parsed(text: str) -> Address:
    """Return an address that was read from a text.

    Raises:
        UsageError: It has a password, or its schema has a name that docsim does not make.
    """
    base, _, query = text.partition("?")
    credentials, at, _ = base.partition("://")[2].partition("/")[0].rpartition("@")
    user, colon, password = credentials.partition(":")
    pairs = parse_qsl(query, keep_blank_values=True)
    if password or any(name in _SECRETS and value for name, value in pairs):
        raise UsageError(_NO_SECRETS)
    if at and colon:
        base = base.replace(f"{credentials}@", f"{user}@", 1)
    schemas = [value for name, value in pairs if name == "schema"]
    schema = schemas[-1] if schemas else DEFAULT_SCHEMA
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_") or schema in ("public", "information_schema"):
        raise UsageError(
            "expected a schema of letters, digits, - and _ of its own for the index, such as ?schema=handbook, got "
            f"{schema!r}"
        )
    rest = urlencode([(name, value) for name, value in pairs if name != "schema"], safe="/,:", quote_via=quote)
    return Address("postgresql://" + base.partition("://")[2] + (f"?{rest}" if rest else ""), schema)
