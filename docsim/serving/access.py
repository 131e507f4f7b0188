"""Access: which documents somebody may see.

A document belongs to groups. They are, in this order:

1. what its metadata field ``access`` says: a group, or a list of groups; an empty list, or anything else, is nobody's;
2. what the rule with the longest path that the document's id lies below says;
3. by default everybody, or nobody: as the server was started.

The group ``everyone`` has everybody in it. Somebody sees a document who is in one of its groups, or sees everything.
The same is said twice, as a condition that a search meets and as a test of one document; a property test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from docsim.errors import UsageError
from docsim.filters.condition import All, Compare, Condition, Either, Exists, Not, Under, all_of, any_of
from docsim.models import Document, Metadata
from docsim.text.storing import storable

__all__ = ["EVERYONE", "FIELD", "SCOPES", "Access", "Rules", "Scope", "Viewer", "read_rules"]

FIELD = "access"
"""The metadata field that names a document's groups."""

EVERYONE = "everyone"
"""The group that everybody is in."""

MAX_RULES = 200
"""Rules in a file: a filter has to hold them all."""

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""What somebody may do, each with all that the ones before it may."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who asks.

    Attributes:
        name: For logs, limits and messages.
        groups: The groups that they are in; None for who sees everything.
        scope: What they may do.
    """

    name: str
    groups: frozenset[str] | None
    scope: Scope = "read"

    def may(self, scope: Scope) -> bool:
        """Return whether they may do what a scope allows."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which groups see documents that do not say it themselves.

    Attributes:
        by_path: Paths and the groups that see what is there or below, no path twice.
        shown_by_default: Whether what no path covers is everybody's; otherwise it is nobody's.
    """

    by_path: tuple[tuple[str, frozenset[str]], ...] = ()
    shown_by_default: bool = True

    def groups(self, id: str, metadata: Metadata) -> frozenset[str]:
        """Return the groups that a document belongs to."""
        given = metadata.get(FIELD)
        if given is not None:
            return frozenset(one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str))
        covering = [(path, groups) for path, groups in self.by_path if _is_under(id, path)]
        if covering:
            return max(covering, key=lambda rule: len(rule[0]))[1]
        return frozenset({EVERYONE} if self.shown_by_default else ())

    def reason(self, id: str, metadata: Metadata) -> str:
        """Return what says which groups a document belongs to."""
        if metadata.get(FIELD) is not None:
            return f"its metadata field {FIELD}"
        covering = [path for path, _ in self.by_path if _is_under(id, path)]
        return f"the rule for {max(covering, key=len)}" if covering else "the default"

    def condition(self, groups: frozenset[str]) -> Condition:
        """Return the condition that documents meet which somebody in these groups may see."""
        mine = groups | {EVERYONE}
        unnamed = All((Not(Exists((FIELD,))), self._by_path(mine)))
        return Either((Compare((FIELD,), "=", tuple(sorted(mine))), unnamed))

    def _by_path(self, mine: frozenset[str]) -> Condition:
        """Return the condition of documents that are told by their paths: below one that is shown, and none deeper."""
        closed = [path for path, groups in self.by_path if not groups & mine]
        shown: list[Condition] = [
            all_of([Under(path), *(Not(Under(deeper)) for deeper in closed if _is_under(deeper, path))])
            for path, groups in self.by_path
            if groups & mine
        ]
        if self.shown_by_default:
            shown.append(all_of([Not(Under(path)) for path, _ in self.by_path]))
        return any_of(shown)


@dataclass(frozen=True, slots=True)
class Access:
    """What one viewer may see.

    Attributes:
        viewer: Who.
        rules: What decides.
    """

    viewer: Viewer
    rules: Rules

    def sees(self, document: Document) -> bool:
        """Return whether they may see a document."""
        return self.sees_groups(self.rules.groups(document.id, document.metadata))

    def sees_groups(self, groups: frozenset[str]) -> bool:
        """Return whether they may see the documents of some groups."""
        return self.viewer.groups is None or bool(groups & (self.viewer.groups | {EVERYONE}))

    def restricted(self, where: Condition | None) -> Condition | None:
        """Return a condition that also leaves out what they may not see; None where nothing is left out.

        Raises:
            UsageError: The two together are too large.
        """
        if self.viewer.groups is None:
            return where
        seen = self.rules.condition(self.viewer.groups)
        return seen if where is None else all_of([seen, where])


def read_rules(file: Path | None, *, shown_by_default: bool) -> Rules:
    """Read a file of rules: a YAML mapping of paths to lists of groups.

    Raises:
        UsageError: It cannot be read, or is something else.
    """
    if file is None:
        return Rules(shown_by_default=shown_by_default)
    try:
        held = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"expected a file of access rules at {file}, could not read it: {error}") from error
    if not isinstance(held, dict) or len(held) > MAX_RULES:
        raise UsageError(f"expected a mapping of at most {MAX_RULES} paths to lists of groups in {file}")
    rules = tuple(_rule(path, groups, file) for path, groups in held.items())
    if len({path for path, _ in rules}) < len(rules):
        raise UsageError(f"expected each path once in {file}, got one twice")
    return Rules(rules, shown_by_default)


def _rule(path: object, groups: object, file: Path) -> tuple[str, frozenset[str]]:
    """Return a path as ``Under`` keeps it, and its groups."""
    named = [groups] if isinstance(groups, str) else groups
    if not isinstance(path, str) or not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise UsageError(f"expected a path and a list of groups on each line of {file}, got {path!r}: {groups!r}")
    plain = Under(path).path
    if not plain or plain == ".":
        raise UsageError(f"expected a path below the source in {file}, got {path!r}; what no path covers has a default")
    return plain, frozenset(map(storable, named))


def _is_under(id: str, path: str) -> bool:
    return id == path or id.startswith(f"{path}/")
