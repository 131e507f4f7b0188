"""Archives are read in place, whatever is done to them."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from effort import examples
from exports import zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.errors import SourceError
from docsim.ingest import trees
from docsim.ingest.trees import archive


def _read(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of an archive, and what is left out of it."""
    with trees.opened(path) as tree:
        found = {one: tree.read(one) for one in tree.files}
        return found, {one.path: one.reason for one in tree.told}


def _tar(path: Path, files: dict[str, bytes], mode: str, links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (tarfile.LNKTYPE if name.startswith("hard") else tarfile.SYMTYPE), target
            made.addfile(info)
        fifo = tarfile.TarInfo("pipe")
        fifo.type = tarfile.FIFOTYPE
        made.addfile(fifo)
    return path


_LEAVING = [
    "../up.md",
    "a/../../up.md",
    "/etc/passwd",
    "C:\\boot.md",
    "..\\up.md",
    "\\\\server\\x.md",
    "a\x01b.md",
    "..",
]


def test_what_xz_packed_in_several_streams_is_read_whole(tmp_path: Path) -> None:
    _tar(tmp_path / "a.tar", {"a.md": b"A" * 200_000, "b.md": b"B"}, "w")
    data = (tmp_path / "a.tar").read_bytes()
    pieces = [lzma.compress(data[start : start + 90_000]) for start in range(0, len(data), 90_000)]
    (tmp_path / "b.tar.xz").write_bytes(b"".join(pieces) + b"\0" * 8)
    assert _read(tmp_path / "b.tar.xz")[0] == {"a.md": b"A" * 200_000, "b.md": b"B"}


def test_paths_that_leave_and_links_are_left_out_of_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("ok/a.md", "first")
        for name in _LEAVING:
            made.writestr(name, "out")
        for name, kind in (("link.md", stat.S_IFLNK), ("pipe.md", stat.S_IFIFO), ("dir", stat.S_IFDIR)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o777) << 16
            made.writestr(info, "/etc/passwd")
        made.writestr("ok\\b.md", "of Windows")
        made.writestr("./ok//c.md", "odd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("ok/a.md", "second")
        made.writestr("__MACOSX/ok/._a.md", "junk")
        made.writestr(".hidden/x.md", "hidden")
    found, left = _read(path)
    assert found == {"ok/a.md": b"second", "ok/b.md": b"of Windows", "ok/c.md": b"odd"}
    reasons = {name.replace("\x01", "\ufffd"): "path out of the archive" for name in _LEAVING}
    assert left == reasons | {
        "link.md": "symbolic link",
        "pipe.md": "special file",
        "ok/a.md": "replaced by a later file of the same name",
        ".hidden/x.md": "hidden",
    }


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.tar", "w"),
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar.bz2", "w:bz2"),
        ("a.tar.xz", "w:xz"),
        ("a.txz", "w:xz"),
    ],
)
def test_a_tar_is_read_without_links_and_paths_that_leave(tmp_path: Path, name: str, mode: str) -> None:
    files = {"wiki-1.2/b.md": b"B", "./wiki-1.2/a.md": b"A", "../up.md": b"out", "/etc/x.md": b"out"}
    found, left = _read(_tar(tmp_path / name, files, mode, {"l.md": "/etc/passwd", "hard.md": "wiki-1.2/b.md"}))
    assert found == {"a.md": b"A", "b.md": b"B"}
    assert left == {
        **dict.fromkeys(["../up.md", "/etc/x.md"], "path out of the archive"),
        **{"l.md": "link", "hard.md": "link", "pipe": "special file"},
    }


def test_archives_in_an_archive_of_nothing_else_are_read_as_one(tmp_path: Path) -> None:
    inner = [zipped(tmp_path / f"Export-Part-{n}.zip", {f"{n}.md": f"page {n}"}) for n in (1, 2)]
    outer = zipped(tmp_path / "Export.zip", {one.name: one.read_bytes() for one in inner})
    assert _read(outer) == ({"1.md": b"page 1", "2.md": b"page 2"}, {})
    mixed = zipped(tmp_path / "mixed.zip", {"a.md": "A", "b.zip": inner[0].read_bytes()})
    assert sorted(_read(mixed)[0]) == ["a.md", "b.zip"]
    deep = inner[0]
    for number in range(5):
        deep = zipped(tmp_path / f"deep{number}.zip", {"next.zip": deep.read_bytes()})
    assert list(_read(deep)[0]) == ["next.zip"]


def test_what_unpacks_to_far_more_than_it_weighs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNPACKED_EXEMPT", 100_000)
    monkeypatch.setattr(archive, "MEMBERS", 1000)
    zeros = b"\0" * 2_000_000
    zipped(tmp_path / "a.zip", {"a.md": zeros})
    _tar(tmp_path / "b.tar.gz", {"a.md": zeros}, "w:gz")
    zipped(tmp_path / "c.zip", {"Export-Part-1.zip": (tmp_path / "a.zip").read_bytes(), "Export-Part-2.zip": b""})
    zipped(tmp_path / "d.zip", {f"{n}.md": "" for n in range(1001)})
    (tmp_path / "e.tar.gz").write_bytes(gzip.compress(zeros * 10))
    (tmp_path / "g.tar.xz").write_bytes(lzma.compress(zeros * 10))
    for name in ("a.zip", "b.tar.gz", "c.zip", "d.zip", "e.tar.gz", "g.tar.xz"):
        with pytest.raises(SourceError, match="more than is safe to read"):
            trees.opened(tmp_path / name)
    assert _read(zipped(tmp_path / "f.zip", {"a.md": zeros[:90_000]}))[0] == {"a.md": zeros[:90_000]}


def test_a_zip_that_lies_about_sizes_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.md": b"x" * 100_000, "b.md": b"sound"})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100_000), struct.pack("<I", 10)))
    with trees.opened(path) as tree:
        assert tree.read("b.md") == b"sound"
        with pytest.raises(SourceError, match="the file is damaged in the archive"):
            tree.read("a.md")


def test_protected_and_damaged_archives_are_refused_as_a_whole(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.md": "secret"})
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02") + 8
    path.write_bytes(data[:6] + b"\1\0" + data[8:at] + b"\1\0" + data[at + 2 :])
    with pytest.raises(SourceError, match="protected by a password; unpack it"):
        trees.opened(path)
    whole = _tar(tmp_path / "b.tar.gz", {"a.md": bytes(range(256)) * 100}, "w:gz").read_bytes()
    for name, content in (
        ("c.zip", b""),
        ("d.zip", data[:-20]),
        ("e.tar.gz", whole[:200]),
        ("f.tar", b"no tar at all"),
        ("g.tar.xz", lzma.compress(whole)[:-30]),
        ("h.tar.xz", whole),
        ("i.tar.xz", lzma.compress(b"", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}])),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match="the archive is damaged, or cut short"):
            trees.opened(tmp_path / name)


def test_names_are_read_in_the_encoding_that_they_are_in(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"Gru\u0308n.md": "x"})
    path.write_bytes(path.read_bytes().replace(b"\x00\x08", b"\x00\x00"))  # no mark of UTF-8
    data = bytearray(path.read_bytes())
    data[6:8] = b"\0\0"
    data[data.index(b"PK\x01\x02") + 8 :][:2] = b"\0\0"
    path.write_bytes(data)
    assert list(_read(path)[0]) == ["Grün.md"]


_STEP = st.sampled_from(["a", "b", "..", ".", "", "c d", "é", "C:", "x\\y", "\n"])
_NAMES = st.lists(_STEP, min_size=1, max_size=4).map("/".join)


@pytest.mark.properties
@settings(max_examples=examples(60, 500), deadline=None)
@given(st.dictionaries(_NAMES, st.binary(max_size=50), max_size=8), st.booleans())
def test_every_file_of_an_archive_is_read_or_told_and_none_leaves_it(files: dict[str, bytes], is_tar: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.tar" if is_tar else "a.zip")
        if is_tar:
            _tar(path, files, "w")
        else:
            with zipfile.ZipFile(path, "w") as made:
                for name, content in files.items():
                    made.writestr(zipfile.ZipInfo(name), content)
        with trees.opened(path) as tree:
            found = {one: tree.read(one) for one in tree.files}
            told = [one.path for one in tree.told]
    for name in found:
        steps = name.split("/")
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(steps)
    kept = {name: content for name, content in files.items() if is_tar or not name.endswith("/")}
    assert set(found.values()) <= set(kept.values())
    assert len(found) + len(told) >= len(kept)


@pytest.mark.properties
@settings(max_examples=examples(60, 500), deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_read_and_never_raises_anything_else(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = zipped(Path(folder) / "a.zip", {"a.md": "some text " * 20, "b/c.md": "more"})
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            with trees.opened(path) as tree:
                for one in tree.files:
                    tree.read(one)
        except SourceError:
            pass
