"""The event loop of each of several workers, which leaves new connections to workers that have fewer.

All workers wait at one socket, and asyncio takes every connection that waits there as soon as it wakes. Connections
stay open, so whichever worker woke first a few times would answer most requests, and another core would be idle.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["WorkerLoop"]

_WAIT, _LONGEST = 0.0005, 0.002  # seconds before connections are taken: for each that the worker has, and at most
_AT_ONCE = 8  # taken then, where a worker waits longest; else one
_FULL = 1.0  # seconds until the next try where no more files can be opened


class WorkerLoop(asyncio.SelectorEventLoop):
    """Takes a connection the later, the more it has."""

    async def create_server(  # type: ignore[override]
        self, made: Callable[[], asyncio.BaseProtocol], *, sock: socket.socket, **options: Any
    ) -> Any:
        """Serve a socket that listens already; return what uvicorn needs of an ``asyncio.Server``."""
        return _Server(self, made, sock)


class _Server:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, made: Callable[[], asyncio.BaseProtocol], listener: socket.socket
    ) -> None:
        self._loop, self._made, self._listener, self._number = loop, made, listener, listener.fileno()
        self._open: list[asyncio.BaseTransport] = []
        listener.setblocking(False)
        self._task = loop.create_task(self._serve())

    def close(self) -> None:
        self._loop.remove_reader(self._number)
        self._task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while True:
            await self._waiting()
            self._open = [one for one in self._open if not one.is_closing()]
            wait = min(_WAIT * len(self._open), _LONGEST)
            await asyncio.sleep(wait)
            for _ in range(_AT_ONCE if wait == _LONGEST else 1):
                if not await self._taken():
                    break

    async def _taken(self) -> bool:
        """Take one connection; return whether there was one."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another worker has taken it
            return False
        except OSError:
            await asyncio.sleep(_FULL)
            return False
        connection.setblocking(False)
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._made, connection)
        except Exception as error:  # it is closed already, for example
            self._loop.call_exception_handler({"message": "a connection could not be served", "exception": error})
            connection.close()
        else:
            self._open.append(transport)
        return True

    async def _waiting(self) -> None:
        """Wait until a connection can be taken."""
        waits = self._loop.create_future()

        def come() -> None:
            self._loop.remove_reader(self._number)
            if not waits.done():
                waits.set_result(None)

        self._loop.add_reader(self._number, come)
        await waits
