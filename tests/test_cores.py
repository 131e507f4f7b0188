"""Cores: which libraries may use how many."""

from __future__ import annotations

import threading

import pytest

from docsim import cores

pytestmark = pytest.mark.skipif(not cores._algebra(), reason="NumPy has no library whose threads can be counted")


def threads() -> list[int]:
    return [one.num_threads for one in cores._algebra()]


def test_matrices_are_multiplied_by_one_thread_until_the_last_of_several_blocks_ends() -> None:
    before, inside, finish = threads(), threading.Event(), threading.Event()

    def longer() -> None:
        with cores.undivided():
            inside.set()
            assert finish.wait(10)

    other = threading.Thread(target=longer)
    with cores.undivided():
        other.start()
        assert inside.wait(10)
    assert set(threads()) == {1}  # the other block still runs
    finish.set()
    other.join()
    assert threads() == before


def test_a_block_counts_whichever_thread_it_is_in() -> None:
    found = list[int]()

    def alone() -> None:
        with cores.undivided():
            found.extend(threads())

    with cores.undivided():
        pass
    other = threading.Thread(target=alone)
    other.start()
    other.join()
    assert set(found) == {1}
