"""Front matter: YAML (``---``) or TOML (``+++``) at the beginning of a text.

Values stay as they are written. YAML is read as version 1.2 has it: ``No`` and ``12:30`` are strings, and so is what a
number would change, such as ``3.10`` and ``0123``. Dates become ISO 8601 with a ``T``, and keep their time zone.

It is not parsed by a library made for it (python-frontmatter), because that one expands YAML aliases, and uses libyaml,
which crashes on deep nesting. A header that cannot be parsed stays in the text.
"""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from typing import Any

from docsim.ingest.content import FileContent, one_line

__all__ = ["read"]

_YAML = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z")
_DATE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[Tt]|[ \t]+)(?P<time>\d\d?:\d\d(?::\d\d(?:\.\d+)?)?)"
    r"(?:[ \t]*(?P<zone>Z|z|[-+]\d\d?(?::?\d\d)?))?\Z"
)


def read(text: str) -> FileContent:
    """Read front matter into metadata, and its ``title`` into the title; the text is what follows it."""
    for pattern, parse in ((_YAML, _yaml), (_TOML, tomllib.loads)):
        if not (block := pattern.match(text)):
            continue
        try:
            fields = {str(name): _plain(value) for name, value in parse(block[1]).items()}
        except (ValueError, RecursionError, KeyError, TypeError, ArithmeticError):
            break
        named = fields.pop("title") if isinstance(fields.get("title"), str | int | float) else ""
        title = str(named).lower() if isinstance(named, bool) else str(named)
        return FileContent(text[block.end() :], one_line(title), fields)
    return FileContent(text)


def _yaml(block: str) -> dict[Any, Any]:
    """Parse YAML that must be one mapping.

    Aliases are refused, because a few lines of them can expand to gigabytes. The loader is the one written in Python,
    because libyaml crashes the process on deep nesting.

    Raises:
        ValueError: It is not YAML, has aliases, or is not a mapping.
        RecursionError: It is nested too deeply.
    """
    import yaml

    try:
        if "*" in block and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block, yaml.SafeLoader)):
            raise ValueError("aliases are not read")
        fields = yaml.load(block, _loader())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if fields is not None and not isinstance(fields, dict):
        raise ValueError("expected a mapping")
    return fields or {}


@functools.cache
def _loader() -> type:
    """Return PyYAML's safe loader with YAML 1.2's scalars in the place of 1.1's."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012

    null, merge, boolean = (
        re.compile(r"(?:~|null|Null|NULL|)\Z"),
        re.compile(r"<<\Z"),
        re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    )
    Loader.add_implicit_resolver("tag:yaml.org,2002:null", null, ["~", "n", "N", ""])
    Loader.add_implicit_resolver("tag:yaml.org,2002:merge", merge, ["<"])
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", boolean, list("tTfF"))
    Loader.add_implicit_resolver("tag:docsim,2026:number", re.compile(r"-?[0-9]"), list("-0123456789"))
    Loader.add_constructor("tag:docsim,2026:number", lambda loader, node: _number(str(node.value)))
    return Loader


def _number(written: str) -> int | float | str:
    """Return a number that prints as it is written, and the text of any other."""
    if _INTEGER.match(written):
        return int(written)
    if _FRACTION.match(written) and str(float(written)) == written:
        return float(written)
    return _dated(written)


def _dated(written: str) -> str:
    """Return a date with a time as ISO 8601 has it, and any other text as it is."""
    match = _DATE.match(written)
    if match is None:
        return written
    hour, _, rest = match["time"].partition(":")
    zone = match["zone"] or ""
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "")
        digits = f"{digits:0>2}00" if len(digits) <= 2 else f"{digits:0>4}"
        zone = f"{zone[0]}{digits[:2]}:{digits[2:]}"
    return f"{match['date']}T{hour:0>2}:{rest}{zone.upper()}"


def _plain(value: Any) -> Any:
    """Return ``value`` with JSON values only: keys, dates, infinity and NaN become strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return _dated(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and abs(value) < float("inf")):
        return value
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)
