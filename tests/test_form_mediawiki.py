"""Dumps of MediaWiki: the newest revision of each page, its markup as text, redirects as other names."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

import bz2
import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from exports import read

from docsim.errors import SourceError
from docsim.ingest import forms
from docsim.ingest.forms import mediawiki, wikitext
from docsim.models import Document

_HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en"><siteinfo>
<sitename>Acme</sitename><base>https://wiki.example.com/wiki/Main_Page</base><namespaces><namespace key="0" />
<namespace key="1">Talk</namespace><namespace key="10">Template</namespace><namespace key="100">Runbook</namespace></namespaces></siteinfo>
"""
_WIKI = """{{Infobox server
| name = db1
| disk = 2 TB}}
'''Wind turbine''' is a [[machine|device]] &amp;ndash; see [[Hub (part)#Use]].&lt;ref&gt;A book&lt;/ref&gt;
== Parts ==
* [[rotor]]s, ''fast''
# one
{| class="wikitable"
! Part !! Size
|-
| hub || 2 m
|}
&lt;pre&gt;a &amp;lt; b&lt;/pre&gt;
[https://example.com the site] [[File:x.png|thumb|A picture]] [[Category:Machines]] __NOTOC__"""


def _page(title: str, text: str, ns: int = 0, more: str = "") -> str:
    revision = "<revision><timestamp>{}</timestamp><contributor><username>{}</username></contributor><text>{}</text></revision>"
    old = revision.format("2020-01-01T00:00:00Z", "Ana", "old text")
    new = revision.format("2023-11-03T16:05:00Z", "Bo", text)
    return f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{more}{new}{old}</page>\n"


_DUMP = (
    _HEAD
    + _page("Wind turbine", _WIKI)
    + _page("Windmill", "#REDIRECT [[Wind turbine]]", more='<redirect title="Wind turbine" />')
    + _page("Talk:Wind turbine", "chat", 1)
    + _page("Template:Infobox", "x", 10)
    + _page("Runbook:Restart", "Restart it.", 100)
    + "</mediawiki>"
)


@pytest.mark.parametrize(
    ("name", "packed"), [("w.xml", bytes), ("w.xml.gz", gzip.compress), ("w.xml.bz2", bz2.compress)]
)
def test_a_page_is_read_as_it_reads(tmp_path: Path, name: str, packed: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(packed(_DUMP.encode()))
    found = read(tmp_path / name, "mediawiki")
    assert sorted(found.documents) == ["Runbook:Restart", "Wind turbine"]
    assert found["Wind turbine"] == Document(
        "Wind turbine",
        "Also called: Windmill\n\nname: db1\ndisk: 2 TB\n\n**Wind turbine** is a device – see Hub (part)#Use.\n## Parts\n* rotors, *fast*\n"
        "1. one\n\n| Part | Size |\n| --- | --- |\n| hub | 2 m |\n\n`a < b`\nthe site A picture",
        "Wind turbine",
        {
            "url": "https://wiki.example.com/wiki/Wind_turbine",
            "author": "Ana",
            "created": "2020-01-01T00:00:00Z",
            "updated": "2023-11-03T16:05:00Z",
            "labels": ["Machines"],
            "links": ["Machine", "Hub (part)", "Rotor"],
            "aliases": ["Windmill"],
        },
    )
    assert found["Runbook:Restart"].metadata["namespace"] == "Runbook"
    assert found.left_out == {"Talk:Wind turbine": "Talk page", "Template:Infobox": "Template page"}


def test_a_dump_that_is_cut_short_or_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_text(_DUMP[:-200])
    with pytest.raises(SourceError, match="damaged or cut short"):
        list(forms.documents(tmp_path / "a.xml", "mediawiki"))
    monkeypatch.setattr(mediawiki, "UNPACKED_EXEMPT", 1000)
    (tmp_path / "b.xml.gz").write_bytes(gzip.compress(_DUMP.encode() + b" " * 10_000_000))
    with pytest.raises(SourceError, match="more than is safe to read"):
        list(forms.documents(tmp_path / "b.xml.gz", "mediawiki"))


@pytest.mark.parametrize(
    "markup", ["{{" * 300 + "x" + "}}" * 300, "[[" * 2000, "{|" * 500, "'''''" * 500, "<div>" * 1000]
)
def test_odd_markup_is_read_or_a_failure(markup: str) -> None:
    with contextlib.suppress(RecursionError):
        wikitext.read(markup)
