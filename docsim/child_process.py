"""Processes of docsim's own: how they are started, and the frames that go through their pipes.

They are plain processes that run a module of docsim: nothing is forked, and no program has to be written in a special
way to use docsim. A frame is a header in JSON and some bytes, with their two lengths in front.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

__all__ = ["Frame", "own_pipes", "receive", "send", "start"]

_HEADER_LIMIT = 1 << 26
_LENGTHS = struct.Struct(">QQ")
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What goes through a pipe.

    Attributes:
        header: JSON values by name.
        data: Any bytes.
    """

    header: Mapping[str, Any]
    data: bytes = b""


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that runs a module of docsim, with pipes for standard input and output.

    Raises:
        OSError: No process can be started.
    """
    where = os.pathsep.join(dict.fromkeys(filter(None, sys.path)))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | _QUIET | {"PYTHONPATH": where},
    )


def own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output of a process that ``start`` made; what libraries print from now on is lost."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    return jobs, answers


def send(stream: IO[bytes], frame: Frame) -> None:
    """Write a frame."""
    header = json.dumps(frame.header, default=str).encode("utf-8")
    stream.write(_LENGTHS.pack(len(header), len(frame.data)))
    stream.write(header)
    stream.write(frame.data)
    stream.flush()


def receive(stream: IO[bytes], *, limit: int | None = None) -> Frame | None:
    """Read a frame; None at the end of the stream, and when the frame is cut off.

    Raises:
        ValueError: The frame is larger than ``limit`` allows, or has no header.
    """
    start = stream.read(_LENGTHS.size)
    if len(start) < _LENGTHS.size:
        return None
    sizes = _LENGTHS.unpack(start)
    if limit is not None and (sizes[0] > _HEADER_LIMIT or sizes[1] > limit):
        raise ValueError("the frame is too large")
    header, data = (stream.read(size) for size in sizes)
    if (len(header), len(data)) != sizes:
        return None
    return Frame(json.loads(header), data)
