"""Outlook's ``.msg`` files, as [MS-OXMSG] and [MS-CFB] describe them: a mail in a compound file of small streams."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence

__all__ = ["msg"]

_FREE, _END, _NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF
_FAT = 0xFFFFFFFD

Properties = Mapping[int, str | bytes]


def msg(mail: Properties, receivers: Sequence[Properties] = (), attachments: Sequence[Properties] = ()) -> bytes:
    """Return a ``.msg`` file.

    Args:
        mail: The properties of the mail by number, such as ``0x0037`` for the subject.
        receivers: Those of each receiver.
        attachments: Those of each attached file.
    """
    counts = struct.pack("<IIII", len(receivers), len(attachments), len(receivers), len(attachments))
    storages = [("", _streams(mail, b"\0" * 8 + counts + b"\0" * 8))]
    storages += [(f"__recip_version1.0_#{n:08X}", _streams(one, b"\0" * 8)) for n, one in enumerate(receivers)]
    attached = ({0x3705: 1, **one} for one in attachments)
    storages += [(f"__attach_version1.0_#{n:08X}", _streams(one, b"\0" * 8)) for n, one in enumerate(attached)]
    return _compound(storages)


def _streams(properties: Mapping[int, str | bytes | int], head: bytes) -> list[tuple[str, bytes]]:
    """Return the streams of one storage: the list of its properties, and a stream for each that is no number."""
    streams: list[tuple[str, bytes]] = []
    for number, value in {0x340D: 0x00040000, **properties}.items():
        if isinstance(value, int):
            head += struct.pack("<HHIII", 0x0003, number, 6, value, 0)
            continue
        kind, data = (0x001F, value.encode("utf-16-le")) if isinstance(value, str) else (0x0102, value)
        head += struct.pack("<HHIII", kind, number, 6, len(data) + 2 * (kind == 0x001F), 0)
        streams.append((f"__substg1.0_{number:04X}{kind:04X}", data))
    return [("__properties_version1.0", head), *streams]


def _compound(storages: Sequence[tuple[str, Sequence[tuple[str, bytes]]]]) -> bytes:
    """Return a compound file whose streams all lie in the mini stream; entries of a folder are a list, not a tree."""
    mini, mini_fat, entries = b"", list[int](), [b""]
    starts: list[int] = []
    for name, streams in storages:
        top = len(entries)
        if name:
            starts.append(top)
            entries.append(b"")
        first = len(entries)
        for number, (stream, data) in enumerate(streams):
            begin, count = len(mini_fat), max(1, -(-len(data) // 64))
            mini_fat += [*range(begin + 1, begin + count), _END]
            mini += data.ljust(64 * count, b"\0")
            following = first + number + 1 if number + 1 < len(streams) else _NONE
            entries.append(_entry(stream, 2, begin, len(data), right=following))
        if name:
            entries[top] = _entry(name, 1, 0, 0, child=first)
    last = len(storages[0][1])
    chain = [last, *starts]
    for one, following in itertools.pairwise(chain):
        entries[one] = entries[one][:72] + struct.pack("<I", following) + entries[one][76:]
    parts = [struct.pack(f"<{len(mini_fat)}I", *mini_fat), b"", mini]
    sizes = [-(-len(parts[0]) // 512), -(-len(entries) // 4), -(-len(mini) // 512)]
    at = [1, 1 + sizes[0], 1 + sizes[0] + sizes[1]]
    entries[0] = _entry("Root Entry", 5, at[2], len(mini), child=1)
    parts[1] = b"".join(entries)
    fat = [_FAT]
    for begin, size in zip(at, sizes, strict=True):
        fat += [*range(begin + 1, begin + size), _END]
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        1,
        at[1],
        0,
        4096,
        at[0],
        sizes[0],
        _END,
        0,
    )
    body = [struct.pack("<128I", *fat, *[_FREE] * (128 - len(fat)))]
    body += [
        part.ljust(512 * size, b"\xff" if part is parts[0] else b"\0") for part, size in zip(parts, sizes, strict=True)
    ]
    return header + struct.pack("<109I", 0, *[_FREE] * 108) + b"".join(body)


def _entry(name: str, kind: int, start: int, size: int, *, right: int = _NONE, child: int = _NONE) -> bytes:
    """Return an entry of the directory: 1 for a folder, 2 for a stream, 5 for the root."""
    written = name.encode("utf-16-le") + b"\0\0"
    links = struct.pack("<III", _NONE, right, child)
    return (
        written.ljust(64, b"\0")
        + struct.pack("<HBB", len(written), kind, 1)
        + links
        + b"\0" * 36
        + struct.pack("<IQ", start, size)
    )
