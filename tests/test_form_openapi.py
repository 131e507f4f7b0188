"""OpenAPI: an operation is a document, with what its parameters and bodies say."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from exports import read

from docsim.errors import SourceError
from docsim.ingest import forms
from docsim.models import Document

_API: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1.10", "description": "All about pets."},
    "servers": [{"url": "https://api.example.com/v1/"}],
    "tags": [{"name": "pet", "description": "Animals"}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getPet",
                "summary": "Find a pet",
                "description": "Returns *one* pet.",
                "tags": ["pet"],
                "responses": {
                    "200": {
                        "description": "Found",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                    },
                    "404": {"description": "No such pet"},
                },
            },
            "put": {
                "deprecated": True,
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}
                    }
                },
            },
        },
    },
    "components": {
        "parameters": {
            "Id": {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "Its\nnumber",
                "schema": {"type": "integer"},
            }
        },
        "schemas": {
            "Pet": {
                "allOf": [{"$ref": "#/components/schemas/Named"}],
                "required": ["kind"],
                "properties": {
                    "kind": {"type": "string", "enum": ["cat", "dog"], "description": "What it is"},
                    "parent": {"$ref": "#/components/schemas/Pet"},
                },
            },
            "Named": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    },
}


@pytest.mark.parametrize(("name", "written"), [("pets.json", json.dumps), ("pets.yaml", yaml.safe_dump)])
def test_an_operation_is_a_document(tmp_path: Path, name: str, written: Any) -> None:
    (tmp_path / name).write_text(written(_API), "utf-8")
    found = read(tmp_path / name, "openapi")
    assert sorted(found.documents) == ["GET /pets/{id}", "PUT /pets/{id}", "info"]
    operation = found["GET /pets/{id}"]
    assert operation.text.startswith(
        "`GET /pets/{id}`\n\nFind a pet\n\nReturns *one* pet.\n\n## Parameters\n\n- `id` (path, integer, required): Its number\n\n"
        "## Responses\n\n- 200: Found\n  - `name` (string)\n  - `kind` (string, required): What it is One of: cat, dog.\n  - `parent` (object)\n"
    )
    assert operation.text.endswith("- 404: No such pet")
    assert (operation.title, operation.metadata) == (
        "Find a pet",
        {
            "method": "GET",
            "path": "/pets/{id}",
            "operation_id": "getPet",
            "labels": ["pet"],
            "deprecated": False,
            "url": "https://api.example.com/v1/pets/{id}",
            "api": "Pets 1.10",
        },
    )
    put = found["PUT /pets/{id}"]
    assert put.title == "PUT /pets/{id}"
    assert put.metadata["deprecated"] is True
    assert "- `kind` (string, required)" in put.text
    assert found["info"] == Document(
        "info", "All about pets.\n\n- pet: Animals", "Pets", {"version": "1.10", "url": "https://api.example.com/v1"}
    )


def test_swagger_2_is_read_and_what_is_no_api_is_refused(tmp_path: Path) -> None:
    old = {
        "swagger": "2.0",
        "host": "api.example.com",
        "basePath": "/v2",
        "paths": {
            "/a": {
                "post": {
                    "parameters": [{"in": "body", "name": "b", "schema": {"properties": {"x": {"type": "string"}}}}]
                }
            }
        },
    }
    (tmp_path / "a.json").write_text(json.dumps(old))
    operation = read(tmp_path / "a.json", "openapi")["POST /a"]
    assert operation.text == "`POST /a`\n\n## Request body\n\n- `x` (string)"
    assert operation.metadata["url"] == "https://api.example.com/v2/a"
    for number, text in enumerate(['{"openapi": "3.0.0", ', "openapi: 3.0.0\npaths: [", "openapi: 3.0.0", "[" * 1200]):
        (tmp_path / f"{number}.yaml").write_text(text)
        with pytest.raises(SourceError, match="expected"):
            list(forms.documents(tmp_path / f"{number}.yaml", "openapi"))


def _posting(schemas: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    paths = {"/0": {"post": {"requestBody": asked}}} | more
    return {"openapi": "3.0.3", "info": {"title": "T"}, "paths": paths, "components": {"schemas": schemas}}


def test_parts_that_refer_to_one_another_without_an_end_are_failures(tmp_path: Path) -> None:
    twice = {f"S{at}": {"allOf": [{"$ref": f"#/components/schemas/S{at + 1}"}] * 2} for at in range(40)}
    shared: dict[str, Any] = {f"/a{number}": {"$ref": "#/paths/~1b"} for number in range(500)}
    shared["/b"] = {"get": {"description": "y" * 100_000}}
    for api, kept in ((_posting(twice), 0), (_posting({}, **shared), 20)):
        file = tmp_path / "api.json"
        file.write_text(json.dumps(api))
        found = read(file, "openapi")
        assert {one.reason for one in found.failures} == {"the parts of the file refer to one another far too often"}
        assert kept <= len(found.documents) < 60


def test_aliases_of_yaml_that_repeat_one_another_without_an_end_are_refused(tmp_path: Path) -> None:
    lines = [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 12)]
    file = tmp_path / "api.yaml"
    file.write_text(f"openapi: 3.0.3\na0: &a0 [x]\n{''.join(lines)}info: {{title: T, version: *a11}}\npaths: {{}}\n")
    with pytest.raises(SourceError, match="its aliases repeat parts of it far too often"):
        read(file, "openapi")
