"""Every route of the API, asked as its own description allows and forbids: no answer is an error of the server's.

Requests are generated from the description, with Schemathesis. What is allowed may still be refused: the description
does not say that a text may not be blank, or that there has to be either an id or a text. But what is forbidden may not
be answered, and whatever comes is what the description says of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from effort import examples
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import Case, GenerationMode, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from served import Served, made, serving, token

LONG = {"/v1/adapt", "/v1/reindex"}
"""Routes that start processes where they are asked as they should be; tests of jobs do that."""

WHOLE = {"/v1/status", "/v1/generations", "/v1/failures", "/v1/jobs", "/v1/jobs/{id}", "/v1/models"}
"""Routes of which nothing can be asked wrongly, but for unknown parameters, which other tests add."""

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
]


LONGEST = 16_000
"""Characters of an address that are sent; the server ends the connection when the head of a request is too long."""


@schemathesis.serializer("application/x-ndjson")
def lines(context: SerializationContext, value: Any) -> bytes:
    """Send lines as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[tuple[Served, str]]:
    index = made(tmp_path_factory.mktemp("described") / "index", tiny_encoder_dir)
    secret = token(index, "boss", scope="admin")
    with serving(index, "--record", "--rate", "0") as running:
        yield running, secret


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.properties
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_whatever_the_description_allows_or_forbids_is_answered_as_it_says(
    served: tuple[Served, str], mode: GenerationMode
) -> None:
    running, secret = served
    bearer = {"Authorization": f"Bearer {secret}"}
    with running.client(secret) as client:
        schema = schemathesis.openapi.from_dict(client.get("/v1/openapi.json").json())
    codes = Counter[int]()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path in (LONG if mode is GenerationMode.POSITIVE else WHOLE):
            continue

        @settings(
            max_examples=examples(3, 6),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Case[Any]) -> None:
            assume(len(str(case.query)) + len(str(case.path_parameters)) < LONGEST)
            answer = case.call(base_url=running.address, headers=bearer, timeout=60)
            codes[answer.status_code] += 1
            if answer.status_code not in (413, 503):  # a body that is too large; an analysis that takes longer
                case.validate_response(answer, checks=CHECKS)

        ask()
    assert codes.total() > 60
    assert codes[200] if mode is GenerationMode.POSITIVE else codes[400]
