"""OpenAPI: an API described in JSON or YAML, in version 2 (Swagger) or 3; each operation is a document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import encodings
from docsim.ingest.forms import page, plain_yaml
from docsim.ingest.trees.tree import Single, Tree
from docsim.models import Document, Failure, Item

__all__ = ["documents", "recognise"]

_BEGINNING = re.compile(rb"(?:^|[\s{,])[\"']?(?:openapi[\"']?\s*:\s*[\"']?3\.|swagger[\"']?\s*:\s*[\"']?2\.)")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_DEEPEST = 4  # schemas within schemas that are described
_MOST = 200  # lines about the fields of one schema
_TIMES, _FREE = 20, 1_000_000  # how much larger than the file what is written may be, and so many characters more


def recognise(tree: Tree) -> bool:
    """Return whether a file says that it is OpenAPI."""
    names = tree.glance()
    if not isinstance(tree, Single) or not names[0].lower().endswith((".json", ".yaml", ".yml")):
        return False
    return bool(_BEGINNING.search(tree.read(names[0], most=encodings.SNIFFED)))


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the API, and each of its operations.

    Raises:
        SourceError: The file is no JSON or YAML, or describes no API.
    """
    for path in tree.files:
        text = tree.text(path)
        api = _parsed(text, path)
        yield _about(api)
        followed = _Api(api, _FREE + _TIMES * len(text))
        for key in ("paths", "webhooks"):
            for address, item in _mapping(api.get(key)).items():
                yield from _operations(followed, str(address), _mapping(item))


class _Api:
    """A description, in which references are followed as long as that makes it no more than some times larger."""

    def __init__(self, api: Mapping[str, Any], most: int) -> None:
        self.root, self._left = api, most
        info = _mapping(api.get("info"))
        self.name = " ".join(filter(None, [str(info.get("title") or ""), str(info.get("version") or "")]))

    def followed(self, value: object) -> Mapping[str, Any]:
        """Return a mapping, or the one that a reference within the file points to."""
        self.take(1)
        for _ in range(20):
            found = _mapping(value)
            reference = found.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return found
            value = self.root
            for step in reference[2:].split("/"):
                value = _mapping(value).get(step.replace("~1", "/").replace("~0", "~"))
        return {}

    def take(self, count: int) -> None:
        """Count steps, or characters that were written.

        Raises:
            SourceError: There were far too many.
        """
        self._left -= count
        if self._left < 0:
            raise SourceError("the parts of the file refer to one another far too often")


def _parsed(text: str, path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else plain_yaml.parsed(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"expected JSON or YAML in {path}, got something else: {str(error)[:200]}") from error
    if not isinstance(found, dict) or not (found.get("paths") or found.get("webhooks") or found.get("info")):
        raise SourceError(f"expected an API with paths in {path}")
    return found


def _about(api: Mapping[str, Any]) -> Document:
    info = _mapping(api.get("info"))
    tags = [
        f"- {one.get('name')}: {one.get('description')}"
        for one in map(_mapping, _list(api.get("tags")))
        if one.get("description")
    ]
    text = "\n\n".join(filter(None, [str(info.get("description") or ""), "\n".join(tags)]))
    return page.page("info", text, str(info.get("title") or "API"), version=info.get("version"), url=_url(api))


def _operations(api: _Api, address: str, item: Mapping[str, Any]) -> Iterator[Document | Failure]:
    try:
        item = api.followed(item)
    except SourceError as error:
        yield Failure(address, str(error))
        return
    for method in _METHODS:
        operation = _mapping(item.get(method))
        if operation:
            try:
                yield _operation(api, address, method.upper(), operation, _list(item.get("parameters")))
            except RecursionError:
                yield Failure(f"{method.upper()} {address}", "it is nested too deeply")
            except SourceError as error:
                yield Failure(f"{method.upper()} {address}", str(error))


def _operation(api: _Api, address: str, method: str, operation: Mapping[str, Any], shared: Sequence[Any]) -> Document:
    parameters = [api.followed(one) for one in [*shared, *_list(operation.get("parameters"))]]
    sections = [
        f"`{method} {address}`",
        str(operation.get("summary") or ""),
        str(operation.get("description") or ""),
        _section("Parameters", [_parameter(api, one) for one in parameters if one.get("in") != "body"]),
        _section("Request body", _body(api, api.followed(operation.get("requestBody")), parameters)),
        _section("Responses", _responses(api, operation)),
    ]
    api.take(sum(map(len, sections)))
    name = str(operation.get("operationId") or "")
    docs = _mapping(operation.get("externalDocs")).get("url")
    return page.page(
        f"{method} {address}",
        "\n\n".join(filter(None, sections)),
        str(operation.get("summary") or name or f"{method} {address}"),
        method=method,
        path=address,
        operation_id=name,
        labels=[str(one) for one in _list(operation.get("tags"))],
        deprecated=operation.get("deprecated") in (True, "true"),
        url=docs or _url(api.root, address),
        api=api.name,
    )


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _parameter(api: _Api, one: Mapping[str, Any]) -> str:
    schema = api.followed(one.get("schema")) or one
    needed = ", required" if one.get("required") in (True, "true") else ""
    said = f"- `{one.get('name')}` ({one.get('in')}, {_kind(api, schema)}{needed})"
    return f"{said}: {_line(one.get('description'))}{_choices(schema)}".rstrip(": ")


def _body(api: _Api, body: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [_line(body.get("description"))] if body.get("description") else []
    schemas = [_mapping(one).get("schema") for one in _mapping(body.get("content")).values()][:1]
    schemas += [one.get("schema") for one in parameters if one.get("in") == "body"]
    for schema in schemas:
        lines += _fields(api, schema)
    return lines


def _responses(api: _Api, operation: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for status, response in _mapping(operation.get("responses")).items():
        found = api.followed(response)
        lines.append(f"- {status}: {_line(found.get('description'))}")
        schemas = [_mapping(one).get("schema") for one in _mapping(found.get("content")).values()][:1] or [
            found.get("schema")
        ]
        lines += [line for schema in schemas if str(status).startswith("2") for line in _fields(api, schema, depth=1)]
    return lines


def _fields(api: _Api, schema: object, depth: int = 0) -> list[str]:
    """Return a line for each field of a schema, indented by how deep it lies, to a limit."""
    found = api.followed(schema)
    if depth > _DEEPEST or not found:
        return []
    lines: list[str] = []
    for part in [one for key in ("allOf", "oneOf", "anyOf") for one in _list(found.get(key))]:
        lines += _fields(api, part, depth)
    if "items" in found:
        lines += _fields(api, found["items"], depth)
    required = _list(found.get("required"))
    for name, value in _mapping(found.get("properties")).items():
        inner = api.followed(value)
        needed = ", required" if name in required else ""
        said = f"- `{name}` ({_kind(api, inner)}{needed}): {_line(inner.get('description'))}{_choices(inner)}"
        lines += ["  " * depth + said.rstrip(": "), *_fields(api, value, depth + 1)]
        if len(lines) > _MOST:
            return lines[:_MOST]
    return lines


def _kind(api: _Api, schema: Mapping[str, Any]) -> str:
    kind = schema.get("type") or ("object" if schema.get("properties") else "any")
    kind = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return (
        f"array of {_kind(api, api.followed(schema.get('items')))}"
        if kind == "array"
        and schema.get("items") is not None
        and schema.get("items") is not schema
        and "$ref" not in _mapping(schema.get("items"))
        else kind
    )


def _choices(schema: Mapping[str, Any]) -> str:
    found = _list(schema.get("enum"))
    return f" One of: {', '.join(map(str, found[:50]))}." if found else ""


def _line(value: object) -> str:
    return " ".join(str(value or "").split())


def _url(api: Mapping[str, Any], address: str = "") -> str:
    """Return the address of the API, or of an operation."""
    server = next((str(_mapping(one).get("url") or "") for one in _list(api.get("servers"))), "")
    if api.get("host"):
        scheme = next(map(str, _list(api.get("schemes"))), "https")
        server = f"{scheme}://{api['host']}{str(api.get('basePath') or '').rstrip('/')}"
    return server.rstrip("/") + address if "://" in server else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
