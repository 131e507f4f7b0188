"""Threads that could not begin, or that ended before their time, are not waited for."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from docsim.threads import Threads

_STARTED = """
import resource, sys
from docsim import threads

with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
most = size + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    if sys.argv[2] == "start":
        threads.start(print, "begun").join()
    else:
        with threads.Threads(1, "one") as pool:
            pool.result(pool.submit(print, "begun"))
except MemoryError:
    print("no memory")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the size of a process is not told in /proc")
@pytest.mark.parametrize("how", ["start", "pool"])
@pytest.mark.parametrize(
    ("room", "said"), [(0, "no memory"), (4 << 20, "no memory"), (8_600_000, "no memory"), (200 << 20, "begun")]
)
def test_a_thread_that_has_no_memory_to_begin_is_not_waited_for(how: str, room: int, said: str) -> None:
    command = [sys.executable, "-c", _STARTED, str(room), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (said, "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_thread_cannot_say_any_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Future, "set_exception", full)
    with Threads(2, "two") as pool:
        assert pool.result(pool.submit(len, "abc")) == 3
        lost = pool.submit(int, "no number")
        with pytest.raises(MemoryError, match="a thread has ended before its time"):
            pool.result(lost)


def test_results_come_in_the_order_of_the_items_and_the_first_error_leaves_out_what_has_not_begun() -> None:
    called, may_go_on, is_over = list[int](), threading.Event(), threading.Event()

    def work(number: int) -> int:
        called.append(number)
        if number == 2:
            may_go_on.wait()
            raise ValueError("two")
        if number > 2:
            is_over.wait()
        return 10 * number

    with Threads(1, "one") as pool:
        results = pool.results(work, range(100))
        assert [next(results), next(results)] == [0, 10]
        may_go_on.set()
        with pytest.raises(ValueError, match="two"):
            next(results)
        is_over.set()
    assert called in ([0, 1, 2], [0, 1, 2, 3])


def test_a_timeout_that_a_function_raises_is_its_own() -> None:
    def late() -> None:
        raise TimeoutError("mine")

    with Threads(1, "one") as pool, pytest.raises(TimeoutError, match="mine"):
        pool.result(pool.submit(late))
    with Threads(1, "one", begin=lambda: None) as pool:
        done, others = pool.first_of({pool.submit(len, "a"), Future()})
        assert (len(done), len(others)) == (1, 1)
