"""Running: the processes that serve, from their start to their end."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from docsim.errors import UsageError
from docsim.index import Index
from docsim.serving import metrics
from docsim.serving.access import read_rules
from docsim.serving.server_database import ServerDatabase
from docsim.serving.settings import Settings
from docsim.serving.tokens import Tokens
from docsim.serving.watching import watched_sources

__all__ = ["check", "run"]

_GRACE = 8
"""Seconds that requests have to be answered when the server ends; the writer has two more."""


def check(settings: Settings) -> None:
    """Check that a server may run so.

    Raises:
        StoreError: There is no finished index.
        UsageError: Others could reach it, and anybody could read everything; or the access rules cannot be read.
    """
    read_rules(settings.rules, shown_by_default=settings.shown_by_default)
    watched_sources(settings.watch)
    with Index.open(settings.index):
        pass
    if settings.watch and not ServerDatabase(settings.index).exists:
        raise UsageError(f"expected an index that can be written to, to keep it up to date; {settings.index} cannot be")
    if settings.is_local or settings.open or settings.proxies or Tokens(ServerDatabase(settings.index)).any():
        return
    raise UsageError(
        f"expected a token, a trusted proxy or permission for everybody before others can reach {settings.host}; "
        "found none",
        hint="docsim token add NAME, or --open",
    )


def run(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until told to end: by SIGTERM or SIGINT, after which requests that are running are finished.

    Args:
        settings: How to serve.
        tell: Told the address, before the first request is answered.

    Raises:
        UsageError: The address cannot be listened at.
    """
    with _listening(settings) as listener, _numbers(settings):
        settings.exported()
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"http://{shown}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(
            "docsim.serving.app:from_environment",
            factory=True,
            workers=settings.workers,
            loop="docsim.serving.loop:WorkerLoop" if settings.workers > 1 else "asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        for one in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again at the end
            signal.signal(one, _end)
        if settings.workers > 1:
            from uvicorn.supervisors import Multiprocess

            Multiprocess(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


def _end(signal_number: int, frame: FrameType | None) -> None:
    """End the process as asked for, which is no failure."""
    raise SystemExit(0)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Listen at the address of a server for the length of the block."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.create_server(found[0][4][:2], family=found[0][0], backlog=2048)
    except OSError as error:
        raise UsageError(f"expected an address to listen at, got {settings.host}:{settings.port}: {error}") from error
    listener.set_inheritable(True)
    # Else the end of an answer waits for the client to acknowledge its beginning: 40 ms. asyncio does not set this
    # itself for connections of a listener that was made without naming the protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


@contextmanager
def _numbers(settings: Settings) -> Iterator[None]:
    """Have several workers put their metrics together in a folder, for the length of the block."""
    if settings.workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="docsim-metrics-") as folder:
        os.environ[metrics.VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[metrics.VARIABLE]
