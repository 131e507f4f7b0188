"""A server in this process: the whole application, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from docsim.serving.app import application
from docsim.serving.settings import Settings

__all__ = ["asking"]


@contextmanager
def asking(index: Path, token: str | None = None, **settings: Any) -> Iterator[TestClient]:
    """Serve an index in this process for the length of the block, and give a client that bears a token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    app = application(Settings(index, **settings))
    with TestClient(app, base_url="http://localhost", headers=headers, follow_redirects=False) as client:
        yield client
