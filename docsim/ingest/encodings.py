"""Encodings: finds out which encoding a text is in, from all of its bytes.

In this order: a byte order mark; UTF-8, if every byte is valid; UTF-16 without a mark; what the text declares, if it is
a label of the WHATWG Encoding Standard and decodes; UTF-8 with a few damaged bytes; and what chardet finds the most
likely, by language. Python's other codecs (punycode, rot13) are no encodings of text and are never used.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["SNIFFED", "Undecided", "decode", "encoding", "is_binary"]

SNIFFED = 8192
"""The number of bytes at the beginning of a file that decide whether it is text."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PIECE = 1 << 20  # bytes that are looked at together
_MARKED = ("utf-16", "utf-32")  # told by their marks; a mark in the middle of a text is none
_SAMPLE = 1 << 17  # bytes of the lines beyond ASCII from which an encoding is guessed
_CONTROLS = re.compile("[\x80-\x84\x86-\x9f]")  # C1 controls, which no text has; U+0085 ends lines on mainframes
_BESIDE_ASCII = re.compile(r"(?<=[A-Za-z])[^\W\x00-\x7f]|[^\W\x00-\x7f](?=[A-Za-z])")
_C0 = re.compile("[\x00-\x07\x0b\x0e-\x1a\x1c-\x1f]")
"""Controls that no text contains, unlike tabs, ends of lines and pages, and the escapes of terminals."""

_PYTHON = {"shift_jis": "cp932", "euc-kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs", "windows-874": "cp874"}
"""Python's codecs for encodings that WHATWG defines with the extensions of vendors."""


def is_binary(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is something other than text."""
    head = head[:SNIFFED]
    return b"\0" in head and not head.startswith(tuple(mark for mark, _ in _MARKS)) and not _unmarked_utf16(head)


def decode(data: bytes, *, declared: str = "") -> str:
    r"""Return bytes as text, in the encoding that ``encoding`` finds, with ``\n`` line ends.

    Args:
        data: The whole text.
        declared: The encoding that the text itself declares, if any.
    """
    text = data.decode(encoding(data, declared=declared), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding(data: bytes, *, declared: str = "") -> str:
    """Return the name of Python's codec for a text; bytes that are invalid in it are to be replaced.

    Args:
        data: The whole text.
        declared: The encoding that the text itself declares; believed if the text is not valid UTF-8, and decodes.
    """
    undecided = Undecided()
    for start in range(0, len(data), _PIECE):
        undecided.feed(data[start : start + _PIECE])
    return undecided.decided(declared=declared)


class Undecided:
    """The encoding of a text that is read piece by piece, in memory that does not grow with the text."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._head = b""
        self._rest = b""
        self._sample = bytearray()
        self._is_utf8 = True

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if len(self._head) < SNIFFED:
            self._head += data[:SNIFFED]
        if self._is_utf8:
            try:
                self._utf8.decode(data)
            except UnicodeDecodeError:
                self._is_utf8 = False
        self._remember(data)

    def decided(self, *, declared: str = "") -> str:
        """Return the encoding of all that was taken."""
        for mark, name in _MARKS:
            if self._head.startswith(mark):
                return name
        if unmarked := _unmarked_utf16(self._head):
            return unmarked
        if self._is_utf8 and not self._utf8.getstate()[0]:
            return "utf-8"
        self._take(self._rest)
        sample = bytes(self._sample)
        for name in (_labelled(declared), "" if _is_damaged(sample) else "utf-8"):
            if name and (name == "utf-8" or _decodes(sample, name)):
                return name
        return _guess(sample)

    def _remember(self, data: bytes) -> None:
        """Keep the lines with bytes beyond ASCII, up to a limit."""
        if len(self._sample) >= _SAMPLE or (not self._rest and data.isascii() and data.endswith(b"\n")):
            return
        complete, newline, self._rest = (self._rest + data).rpartition(b"\n")
        self._take(complete + newline)
        if len(self._rest) > _SAMPLE:
            self._take(self._rest)
            self._rest = b""

    def _take(self, lines: bytes) -> None:
        for line in _lines_beyond_ascii(lines):
            if len(self._sample) < _SAMPLE:
                self._sample += line[: _SAMPLE - len(self._sample)]


def _lines_beyond_ascii(data: bytes) -> Iterable[bytes]:
    return () if data.isascii() else (line for line in data.splitlines(keepends=True) if not line.isascii())


def _labelled(label: str) -> str:
    """Return Python's codec for a label of the WHATWG standard; nothing for any other label, and for UTF-8 and 16."""
    import webencodings

    found = webencodings.lookup(label) if label else None
    if found is None or found.name.startswith("utf-") or found.name in ("x-user-defined", "replacement"):
        return ""
    return _PYTHON.get(found.name, str(found.codec_info.name))


def _decodes(sample: bytes, name: str) -> bool:
    """Return whether a sample is valid in an encoding, up to a character that is cut off, and free of controls."""
    try:
        text, _ = codecs.getincrementaldecoder(name)().decode(sample), name
    except (UnicodeError, LookupError):
        return False
    return not _CONTROLS.search(text)


def _is_damaged(sample: bytes) -> bool:
    """Return whether more than one in six of the characters beyond ASCII is invalid as UTF-8."""
    text = sample.decode("utf-8", "replace")
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    return 6 * text.count("\ufffd") > beyond


def _guess(sample: bytes) -> str:
    """Return the most likely encoding; of those as likely as any other, Western European."""
    import chardet

    found = (codecs.lookup(str(one["encoding"])).name for one in chardet.detect_all(sample) if one["encoding"])
    best = next((one for one in found if not one.startswith(_MARKED) and _decodes(sample, one)), "")
    text = sample.decode(best or "latin-1", "replace")
    few = sum(byte >= 0x80 for byte in sample) < 4  # too little to tell languages apart
    if best and not _is_mixed(text) and not (few and _is_latin(text)):
        return best
    return "cp1252" if _decodes(sample, "cp1252") else best or "latin-1"


def _is_latin(text: str) -> bool:
    return all(unicodedata.name(one, "").startswith("LATIN") for one in text if one > "\x7f" and one.isalpha())


def _is_mixed(text: str) -> bool:
    """Return whether most letters beyond ASCII are of another script than the letters beside them."""
    found = _BESIDE_ASCII.findall(text)
    odd = sum(not unicodedata.name(one, "LATIN").startswith(("LATIN", "CJK")) for one in found)
    return 2 * odd > sum(one > "\x7f" and one.isalpha() for one in text)


def _unmarked_utf16(head: bytes) -> str:
    """Return the kind of UTF-16 without a mark, where many a second byte is NUL; nothing for other text and data."""
    head = head[: len(head) & ~1]
    if len(head) < 8 or b"\0" not in head:
        return ""
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[offset::2].count(0) * 10 >= len(head) * 2 and 0 not in head[1 - offset :: 2]:
            return name if _decodes(head, name) and not _C0.search(head.decode(name, "ignore")) else ""
    return ""
