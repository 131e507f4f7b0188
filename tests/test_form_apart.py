"""A page of an export that makes a parser crash or hang is a failure, and the pages around it are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import outlook_files
import pytest
from exports import Read, folder, read, zipped

from docsim.errors import SourceError
from docsim.ingest import conversion_pool
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms.apart import Done, in_order

# A module of this name is found before any other, so that the very process that parses misbehaves.
MISBEHAVING = """
import functools, importlib, os, signal, sys, time, types

def misbehave(parsed, data):
    plain = data.replace(b"\\0", b"")
    if b"crash" in plain:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"hang" in plain:
        time.sleep(1000)
    return parsed(data)

def loaded(name, package=None):
    module = load(name, package)
    if not name.startswith("docsim.ingest.forms."):
        return module
    return types.SimpleNamespace(parsed=functools.partial(misbehave, module.parsed))

if "docsim.ingest.conversion_worker" in sys.orig_argv:
    load, importlib.import_module = importlib.import_module, loaded
"""
_TEXTS = ("Boil the lentils.", "It will crash.", "Book a train.")


@pytest.fixture(autouse=True)
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    conversion_pool.rest()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    conversion_pool.rest()


def check(found: Read, ids: tuple[str, str, str]) -> None:
    """Check that the page between two others is told as one that crashed, and those were read."""
    assert [(one.path, one.reason) for one in found.failures] == [(ids[1], "the converter crashed on it (SIGSEGV)")]
    assert list(found.documents) == [ids[0], ids[2]]
    assert _TEXTS[0] in found[ids[0]].text
    assert _TEXTS[2] in found[ids[2]].text


def _dump(texts: tuple[str, ...]) -> str:
    pages = "".join(
        f"<page><title>Page {number}</title><ns>0</ns><revision><text>{text}</text></revision></page>"
        for number, text in enumerate(texts)
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">{pages}</mediawiki>'


def test_a_page_of_mediawiki(tmp_path: Path) -> None:
    (tmp_path / "w.xml").write_text(_dump(_TEXTS))
    check(read(tmp_path / "w.xml", "mediawiki"), ("Page 0", "Page 1", "Page 2"))


def test_a_page_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    (tmp_path / "w.xml").write_text(_dump((_TEXTS[0], "It will hang.", _TEXTS[2])))
    found = read(tmp_path / "w.xml", "mediawiki", conversion=Conversion(timeout=2.0))
    assert [one.reason for one in found.failures] == ["converting it took more than 2 seconds; allow it more time"]
    assert list(found.documents) == ["Page 0", "Page 2"]


def test_a_page_of_notion(tmp_path: Path) -> None:
    names = [f"Page {number} {number:032x}.html" for number in range(3)]
    pages = [f"<html><body><article><h1>Page</h1><p>{text}</p></article></body></html>" for text in _TEXTS]
    found = read(zipped(tmp_path / "e.zip", dict(zip(names, pages, strict=True))), "notion")
    check(found, ("Page 0.html", "Page 1.html", "Page 2.html"))


def test_a_page_of_confluence_in_html(tmp_path: Path) -> None:
    page = '<html><body><h1><span id="title-text">Acme : Page</span></h1><div id="main-content">{}</div></body></html>'
    pages = {f"ACME/Page_{number}.html": page.format(text) for number, text in enumerate(_TEXTS)}
    found = read(zipped(tmp_path / "e.zip", {"ACME/index.html": "<ul></ul>", **pages}), "confluence")
    check(found, ("Page_0.html", "Page_1.html", "Page_2.html"))


def test_a_page_of_confluence_in_xml(tmp_path: Path) -> None:
    objects = "".join(
        f'<object class="Page"><id name="id">{number}</id><property name="title">Page</property></object>'
        f'<object class="BodyContent"><id name="id">9{number}</id><property name="body">&lt;p&gt;{text}&lt;/p&gt;'
        f'</property><property name="content" class="Page"><id name="id">{number}</id></property></object>'
        for number, text in enumerate(_TEXTS)
    )
    entities = f'<?xml version="1.0"?><hibernate-generic datetime="x">{objects}</hibernate-generic>'
    found = read(zipped(tmp_path / "e.zip", {"entities.xml": entities}), "confluence")
    check(found, ("0", "1", "2"))


def test_a_mail_of_outlook(tmp_path: Path) -> None:
    mails = {
        f"{number}.msg": outlook_files.msg({0x0037: f"Mail {number}", 0x1000: text, 0x1035: f"<{number}@x>"})
        for number, text in enumerate(_TEXTS)
    }
    found = read(folder(tmp_path / "m", mails), "mail")
    assert [(one.path, one.reason) for one in found.failures] == [("1.msg", "the converter crashed on it (SIGSEGV)")]
    assert [found[id].text for id in ("0@x", "2@x")] == [_TEXTS[0], _TEXTS[2]]


def _mail(number: int, text: str) -> str:
    return f"Message-ID: <{number}@x>\nSubject: Mail {number}\n\n{text}\n"


def test_a_mail_of_an_mbox(tmp_path: Path) -> None:
    mails = [f"From a@x Mon Jan  1 10:00:00 2024\n{_mail(number, text)}\n" for number, text in enumerate(_TEXTS)]
    (tmp_path / "m.mbox").write_text("".join(mails))
    check(read(tmp_path / "m.mbox", "mail"), ("0@x", "m.mbox", "2@x"))


def test_a_mail_in_a_file(tmp_path: Path) -> None:
    mails = {f"m/{number}.eml": _mail(number, text) for number, text in enumerate(_TEXTS)}
    check(read(folder(tmp_path / "m", mails), "mail"), ("0@x", "m/1.eml", "2@x"))


def test_a_mail_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    mails = {f"m/{number}.eml": _mail(number, text) for number, text in enumerate((_TEXTS[0], "hang", _TEXTS[2]))}
    found = read(folder(tmp_path / "m", mails), "mail", conversion=Conversion(timeout=2.0))
    assert [one.reason for one in found.failures] == ["converting it took more than 2 seconds; allow it more time"]
    assert list(found.documents) == ["0@x", "2@x"]


def test_a_large_mail_is_parsed_alone_and_its_attachment_is_read(tmp_path: Path) -> None:
    attached = "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\n" + "Lentils.\n" * 200_000
    large = (
        f"Message-ID: <1@x>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{attached}\n--b--\n"
    )
    found = read(
        folder(tmp_path / "m", {"m/0.eml": _mail(0, "Boil."), "m/1.eml": large, "m/2.eml": _mail(2, "A")}), "mail"
    )
    assert list(found.documents) == ["0@x", "1@x", "2@x", "1@x/a.txt"]
    assert found["1@x/a.txt"].text.count("Lentils.") == 200_000


def test_works_come_back_in_order_with_their_errors() -> None:
    def work(number: int) -> int:
        if number % 7 == 3:
            raise SourceError(f"no {number}")
        return number * number

    works = ((number, Done(-number) if number % 5 == 0 else lambda number=number: work(number)) for number in range(60))
    for place, (number, found) in enumerate(in_order(works)):
        assert place == number
        if number % 5 == 0:
            assert found == -number
        elif number % 7 == 3:
            assert str(found) == f"no {number}"
        else:
            assert found == number * number
