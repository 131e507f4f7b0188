"""The reference of the HTTP API, from the description that the server gives of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tables import table

from docsim.serving.app import description

__all__ = ["http_api"]

_INTRODUCTION = """# HTTP API

What `docsim serve` answers, from its own description at `/v1/openapi.json` (OpenAPI 3.1). [Serving](serving.md) says
how to start it, and [Permissions](permissions.md) who may ask what.

- A token is sent as `Authorization: Bearer TOKEN`. Scopes are `read`, `write` (also changes documents) and `admin`
  (also changes the encoder). On this machine, before there is any token, everything can be read.
- Parameters have the names of the command line's options. Unknown parameters are refused.
- An error is `application/problem+json` (RFC 9457); its `detail` is one sentence.
- A request that writes is answered at once, with 202 and a job, or with `?wait=true` when the job is over. A search
  with the job's `revision` as `at_least` finds what the job has written.
- If a request has the header `X-Request-ID`, the answer and the log have it, too.
"""

_SCOPES = {"PUT": "write", "DELETE": "write"}
_ADMIN = ("/v1/publish", "/v1/rollback", "/v1/reindex", "/v1/adapt", "/v1/jobs")
_WRITE = ("/v1/documents", "/v1/jobs/{id}")
_ALL = ("/v1/generations", "/v1/failures")


def http_api() -> str:
    """Return the page as Markdown."""
    described = description()
    schemas = described["components"]["schemas"]
    listed = [
        (path, method.upper(), operation)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    rows = [("route", "what it does", "needs")]
    rows += [(f"`{method} {path}`", one["summary"], _needs(path, method)) for path, method, one in listed]
    parts = [_INTRODUCTION, table(rows)]
    parts += ["\n".join(_route(path, method, one, schemas)) for path, method, one in listed]
    return "\n".join(part.rstrip() + "\n" for part in parts).replace("``", "`")


def _needs(path: str, method: str) -> str:
    if path in _ADMIN:
        return "scope `admin`"
    if method in _SCOPES or path == _WRITE[1] or (path == _WRITE[0] and method == "POST"):
        return "scope `write`"
    return "a token that sees all documents" if path in _ALL else ""


def _route(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {method} {path}\n"
    yield f"{operation['description'].strip()}\n"
    if given := operation.get("parameters"):
        rows = [("parameter", "type", "default", "")]
        rows += [(f"`{one['name']}`", *_field(one["schema"], one.get("required", False))) for one in given]
        yield f"{table(rows)}\n"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        if fields := _resolved(body["schema"], schemas).get("properties"):
            required = _resolved(body["schema"], schemas).get("required", [])
            rows = [("member of the body", "type", "default", "")]
            rows += [(f"`{name}`", *_field(one, name in required)) for name, one in fields.items()]
            yield f"{table(rows)}\n"
        else:
            yield f"The body is `{kind}`.\n"
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    if fields := _resolved(answer, schemas).get("properties"):
        yield f"Answers with {', '.join(f'`{name}`' for name in fields)}.\n"


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema


def _field(schema: Mapping[str, Any], required: bool) -> tuple[str, str, str]:
    default = "required" if required else _shown(schema.get("default"))
    return _type(schema), default, schema.get("description", "")


def _shown(value: object) -> str:
    if value in (None, "", []):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words."""
    if "anyOf" in schema:
        kinds = [_type(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = [f"{sign} {schema[name]}" for name, sign in _LIMITS.items() if name in schema]
    return ", ".join([str(schema.get("type", "object")), *limits])


_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
