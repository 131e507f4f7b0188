"""The process that converts files: reads one after the other from its standard input, and answers on standard output.

    python -P -m docsim.ingest.worker MEMORY

A file from a stranger may make a converter hang, crash or fill the memory. So it is converted in here, by
``docsim.ingest.converting``, which kills this process when it takes too long. Nothing is imported before a file needs
it. A frame is a header in JSON and some bytes, with their two lengths in front.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import struct
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from docsim import allocation

__all__ = ["OUTPUT_LIMIT", "Frame", "main", "receive", "send"]

OUTPUT_LIMIT = 1 << 28
"""The most bytes of text that one file may give."""

_HEADER_LIMIT = 1 << 26
_GRACE = 5.0  # seconds after which this process ends by itself, should nobody be left to kill it
_LENGTHS = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Frame:
    """What goes through a pipe.

    Attributes:
        header: JSON values by name.
        data: Any bytes.
    """

    header: Mapping[str, Any]
    data: bytes = b""


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


def main(memory: int) -> None:
    """Convert files until standard input ends.

    Args:
        memory: The most bytes of address space that this process may have.
    """
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what libraries print is no answer
        os.dup2(nowhere, stream)
    _limit(memory)
    allocation.give_back_large_pieces()
    sys.modules["magika"] = types.ModuleType("magika")  # markitdown imports it, and it ONNX Runtime; neither is used
    from docsim.ingest import formats  # noqa: F401  # so that what comes first need not wait for it

    send(answers, Frame({"ready": True}))
    while answer := _answer(jobs):
        send(answers, answer)
        _alarm(0.0)


def _answer(jobs: IO[bytes]) -> Frame | None:
    """Read the next file, and return what is in it; None at the end."""
    from docsim.errors import SourceError

    job = receive(jobs)
    if job is None:
        return None
    _alarm(float(job.header["timeout"]) + _GRACE)
    try:
        content = _content(job)
        job = None  # what is read is as large as the file, and is copied once more
        text = content.text.encode("utf-8", "surrogatepass")
        if len(text) > OUTPUT_LIMIT:
            return Frame({"error": f"the file gives more than {OUTPUT_LIMIT >> 20} MB of text"})
        return Frame({"title": content.title, "metadata": content.metadata, "lost": content.lost}, text)
    except SourceError as error:
        return Frame({"error": str(error)})
    except MemoryError:
        return Frame({"exhausted": True})
    except Exception as error:
        return Frame({"error": f"could not be read: {type(error).__name__}"})


def _content(job: Frame) -> Any:
    """Return the ``FileContent`` of a file, or of a page that a form parses."""
    header = job.header
    if form := header.get("form"):
        return importlib.import_module(f"docsim.ingest.forms.{form}").parsed(job.data)
    from docsim.ingest import formats

    return formats.read(job.data, header["suffix"], header["name"], hidden=header["hidden"])


def _limit(memory: int) -> None:
    """Limit the memory of this process, where the system can do that, and leave no dumps of it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _alarm(seconds: float) -> None:
    """End this process after some seconds, whatever it is doing; never for 0."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]))
