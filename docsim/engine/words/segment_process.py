"""The process that makes segments: reads texts from its standard input, and says on standard output what it has made.

    python -P -m docsim.engine.words.segment_process FOLDER

``beside_encoding`` starts it. When its input ends early, because that process was killed, it ends without a word.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO

from docsim import allocation
from docsim.child_process import Frame, own_pipes, receive, send
from docsim.engine.words import building, segment
from docsim.engine.words.building import Text

__all__ = ["END", "main", "packed"]

END = Frame({"end": True})
"""Comes after all texts."""

_LIMIT = 1 << 34  # bytes of a frame


def packed(texts: Sequence[Text]) -> Frame:
    """Return a frame that holds some texts."""
    contents = [one.text.encode("utf-8", "surrogatepass") for one in texts]
    rows = [(one.number, one.first, one.title, len(data)) for one, data in zip(texts, contents, strict=True)]
    return Frame({"texts": rows}, b"".join(contents))


def main(place: Path) -> None:
    """Make segments of all texts that come in, and say which.

    Args:
        place: The folder that they are written to.
    """
    jobs, answers = own_pipes()
    allocation.give_back_large_pieces()
    made = [(segment.save(one, place), int(one.firsts[-1])) for one in building.segments(_texts(jobs))]
    send(answers, Frame({"segments": made}))


def _texts(jobs: IO[bytes]) -> Iterator[Text]:
    while (frame := receive(jobs, limit=_LIMIT)) is not None:
        if frame.header == END.header:
            return
        texts = _unpacked(frame)
        del frame  # one long text would be there twice
        texts.reverse()
        while texts:
            yield texts.pop()
    sys.exit(1)


def _unpacked(frame: Frame) -> list[Text]:
    """Return the texts in a frame, see ``packed``."""
    rows, data = frame.header["texts"], memoryview(frame.data)
    ends = accumulate(size for *_, size in rows)
    return [
        Text(number, first, title, str(data[end - size : end], "utf-8", "surrogatepass"))
        for (number, first, title, size), end in zip(rows, ends, strict=True)
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
