"""Searches go one after the other, but never behind a slow one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import anyio
import pytest

from docsim.serving import limits
from docsim.serving.limits import searching


@pytest.fixture(autouse=True)
def _own_turns() -> None:
    limits._searches.cache_clear()  # they belong to the event loop that used them first
    limits._threads.cache_clear()


def ask_all(*searches: Callable[[], None]) -> None:
    async def ask() -> None:
        async with anyio.create_task_group() as group:
            for one in searches:
                group.start_soon(searching, one)

    anyio.run(ask)


def test_quick_searches_take_turns() -> None:
    running, most = [0], [0]

    def search() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.002)
        running[0] -= 1

    ask_all(*[search] * 10)
    assert most == [1]


def test_slow_searches_do_not_hold_up_others() -> None:
    others, ended = threading.Event(), list[bool]()

    def slow() -> None:
        ended.append(others.wait(30))

    ask_all(slow, slow, others.set)
    assert ended == [True, True]
    assert limits._searches().total_tokens == 1
