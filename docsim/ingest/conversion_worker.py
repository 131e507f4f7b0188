"""The process that converts files: reads one after the other from its standard input, and answers on standard output.

    python -P -m docsim.ingest.conversion_worker MEMORY

A file from a stranger may make a converter hang, crash or fill the memory. So it is converted in here, in a child
process of ``docsim.ingest.conversion_pool``. Its limits:

    time       ``TIMEOUT`` in conversion_pool, or ``--convert-timeout``; conversion_pool kills this process and makes
               the message. An alarm that is set here ends the process ``_GRACE`` seconds later in any case.
    memory     ``MEMORY_LIMIT`` in conversion_pool, the argument MEMORY; set here, by ``_limit``
    output     ``OUTPUT_LIMIT`` here: the text that one file may give
    processes  how many there are, and how many files each may convert: in conversion_pool

How large an archive may be when unpacked is checked by the readers: ``readers/archives.py``.

Nothing is imported before a file needs it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import signal
import sys
import types
from collections.abc import Mapping
from typing import IO, Any

from docsim import allocation
from docsim.child_process import Frame, own_pipes, receive, send

__all__ = ["OUTPUT_LIMIT", "main"]

OUTPUT_LIMIT = 1 << 28
"""The most bytes of text that one file may give."""

_LARGE = 1 << 20  # bytes of text
_SELDOM = 10_000  # new objects after which garbage is looked for; with the usual 700, half the time of a large table
_GRACE = 5.0  # seconds after which this process ends by itself, should nobody be left to kill it


def main(memory: int) -> None:
    """Convert files until standard input ends.

    Args:
        memory: The most bytes of address space that this process may have.
    """
    jobs, answers = own_pipes()
    _limit(memory)
    allocation.give_back_large_pieces()
    gc.set_threshold(_SELDOM)  # large documents are many objects, and nearly none of them is garbage
    sys.modules["magika"] = types.ModuleType("magika")  # markitdown imports it, and it ONNX Runtime; neither is used
    from docsim.ingest import formats  # noqa: F401  # so that what comes first need not wait for it

    send(answers, Frame({"ready": True}))
    while answer := _answer(jobs):
        send(answers, answer)
        _alarm(0.0)
        if len(answer.data) > _LARGE:
            del answer
            allocation.give_back()  # this process waits for the next file, perhaps for long


def _answer(jobs: IO[bytes]) -> Frame | None:
    """Read the next file, and return what is in it; None at the end."""
    from docsim.errors import SourceError

    job = receive(jobs)
    if job is None:
        return None
    _alarm(float(job.header["timeout"]) + _GRACE)
    try:
        header, data = job.header, [job.data]
        del job
        content = _content(header, data)
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


def _content(header: Mapping[str, Any], data: list[bytes]) -> Any:
    """Return the ``FileContent`` of a file, or of a page that a form parses; ``data`` gives it away, as it is large."""
    if form := header.get("form"):
        return importlib.import_module(f"docsim.ingest.forms.{form}").parsed(data.pop())
    from docsim.ingest import formats

    return formats.read(data.pop(), header["suffix"], header["name"], hidden=header["hidden"])


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
