"""Large pieces of memory go back to the system when they are freed."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from docsim.engine.local import encoders
from docsim.errors import StoreError

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

_HELD = """
import sys
from pathlib import Path
from docsim import allocation

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "yes":
    allocation.give_back_large_pieces()
piece = bytearray(30_000_000)
del piece  # from now on, glibc keeps what is not larger
before, pieces = held(), [bytearray(b"x" * 10_000_000) for _ in range(5)]
last = bytearray(b"x" * 2_000_000)
del pieces
print(held() - before)
"""


@pytest.mark.parametrize(("asked", "is_kept"), [("yes", False), ("no", True)])
def test_freed_pieces_are_given_back(asked: str, is_kept: bool) -> None:
    done = subprocess.run([sys.executable, "-c", _HELD, asked], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 30_000_000) == is_kept, done.stdout


_ROOM = """
import resource, sys
from docsim import allocation

assert allocation.has_room(1 << 50)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
assert allocation.has_room(1 << 24)
assert not allocation.has_room(1 << 30)
try:
    allocation.require(1 << 30)
except MemoryError as error:
    print(error)
"""


def test_room_is_told_below_a_limit() -> None:
    done = subprocess.run([sys.executable, "-c", _ROOM], capture_output=True, text=True, check=True)
    assert done.stdout == "expected room for 1024 MB of memory below the limit of this process\n"


_GAPS = """
from docsim import allocation

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

pieces = [bytearray(20_000) for _ in range(5_000)]
kept = pieces[::50]
before = held()
del pieces  # between what is kept, where glibc leaves it
between = held()
allocation.give_back()
print(before - between, between - held())
"""


def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _GAPS], capture_output=True, text=True, check=True)
    before, given_back = map(int, done.stdout.split())
    assert before < 20_000_000
    assert given_back > 60_000_000


def test_a_file_that_cannot_be_written_for_want_of_memory_is_no_full_disk(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), encoders.explained(tmp_path):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
    with pytest.raises(StoreError, match=r"could not write to .*: No space left"), encoders.explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
