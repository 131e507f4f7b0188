"""Mail: threads from any kind of mailbox, what each mail adds, and attachments as documents."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

import mailbox
import time
from email.message import EmailMessage
from pathlib import Path

import outlook_files
import pytest
from effort import thorough
from exports import Content, folder, read, zipped

from docsim.ingest.forms.quoting import own_text
from docsim.models import Document


def _mail(
    id: str, subject: str, text: str, *, day: int, by: str = "Ana Ruiz <ana@example.com>", parent: str = ""
) -> EmailMessage:
    mail = EmailMessage()
    mail["Message-ID"] = f"<{id}@example.com>"
    mail["Subject"], mail["From"], mail["To"] = subject, by, "Team <team@example.com>"
    mail["Date"] = f"Mon, {day:02} Jan 2026 10:00:00 +0100"
    if parent:
        mail["In-Reply-To"] = f"<{parent}@example.com>"
    mail.set_content(text)
    return mail


def _mails() -> list[EmailMessage]:
    first = _mail("1", "VPN drops", "The VPN drops every hour.\n\nBest regards,\nAna\nPhone 555-0100\n", day=5)
    first["X-Gmail-Labels"] = "Inbox,Network"
    first.add_attachment(b"10:00 link down\n", "text", "plain", filename="vpn.log")
    first.add_attachment(b"\x89PNG", "image", "png", filename="photo.png")
    quoted = "Set the MTU to 1400.\n\nOn Mon, 5 Jan 2026 at 10:00, Ana Ruiz\n<ana@example.com> wrote:\n> The VPN drops every hour.\n"
    second = _mail("2", "Re: VPN drops", quoted, day=6, by="Bo <bo@example.com>", parent="1")
    third = _mail("3", "AW: VPN drops", "ignored", day=7, parent="2")
    html = "<p>That <b>helped</b>.</p><div>Am Di., 6. Jan. 2026 um 10:00 Uhr schrieb Bo:</div><blockquote>Set it</blockquote>"
    third.set_content(html, subtype="html")
    alone = _mail("9", "Lunch", "Soup at noon\nFrom there we go on.", day=8)
    return [third, alone, first, second]


_THREAD = Document(
    "1@example.com",
    "## Ana Ruiz, 2026-01-05T10:00:00+01:00\n\nThe VPN drops every hour.\n\n"
    "## Bo, 2026-01-06T10:00:00+01:00\n\nSet the MTU to 1400.\n\n"
    "## Ana Ruiz, 2026-01-07T10:00:00+01:00\n\nThat **helped**.",
    "VPN drops",
    {
        "author": ["Ana Ruiz", "Bo"],
        "to": "Team",
        "created": "2026-01-05T10:00:00+01:00",
        "updated": "2026-01-07T10:00:00+01:00",
        "labels": ["Inbox", "Network"],
        "messages": 3,
        "attachments": ["1@example.com/vpn.log", "1@example.com/photo.png"],
    },
)


def _mbox(path: Path) -> Path:
    box = mailbox.mbox(path)
    for mail in _mails():
        box.add(mail)
    box.close()
    return path


def _written(path: Path, kind: str) -> Path:
    """Write the mails as one kind of mailbox; the same mail lies twice in a folder of files."""
    data = {f"{number}.eml": mail.as_bytes() for number, mail in enumerate(_mails())}
    if kind == "mbox":
        return _mbox(path.with_suffix(".mbox"))
    if kind == "zip":
        return zipped(
            path.with_suffix(".zip"), {"Takeout/Mail/All mail.mbox": _mbox(path.with_suffix(".mbox")).read_bytes()}
        )
    if kind == "thunderbird":
        return folder(path, {"Inbox": _mbox(path.with_suffix(".mbox")).read_bytes(), "Inbox.msf": "index"})
    if kind == "maildir":
        files: dict[str, Content] = {f"cur/17000{name}.host:2,S": content for name, content in data.items()}
        return folder(path, files | {"new/.keep": "", "tmp/.keep": ""})
    emlx = {f"a/{name}x": f"{len(content)}\n".encode() + content + b"<plist/>" for name, content in data.items()}
    return folder(path, {**data, **emlx} if kind == "files" else emlx)


@pytest.mark.parametrize("kind", ["mbox", "maildir", "emlx", *thorough("zip", "thunderbird", "files")])
def test_a_thread_is_a_document_of_what_each_mail_adds(tmp_path: Path, kind: str) -> None:
    found = read(_written(tmp_path / "mail", kind), "mail")
    assert sorted(found.documents) == ["1@example.com", "1@example.com/vpn.log", "9@example.com"]
    thread = found["1@example.com"]
    box = {"mbox": "mail.mbox", "zip": "Mail/All mail.mbox", "thunderbird": "Inbox", "files": "a", "emlx": "a"}.get(
        kind
    )
    metadata = dict(thread.metadata)
    assert metadata.pop("mailbox", None) == box
    assert Document(thread.id, thread.text, thread.title, metadata) == _THREAD
    assert found["9@example.com"].text == "Soup at noon\nFrom there we go on."
    attached = found["1@example.com/vpn.log"]
    assert (attached.text, attached.metadata["parent"]) == ("10:00 link down\n", "1@example.com")
    assert found.left_out["1@example.com/photo.png"] == ".png"
    assert not found.failures


def test_a_mail_of_outlook_joins_its_thread(tmp_path: Path) -> None:
    sent = outlook_files.msg(
        {
            0x007D: "Message-ID: <7@example.com>\r\nFrom: Cy <cy@example.com>\r\nDate: Tue, 06 Jan 2026 12:00:00 +0000\r\n\r\n",
            0x0037: "RE: VPN drops",
            0x1042: "<1@example.com>",
            0x1000: "Same here.\r\n\r\nFrom: Ana\r\nSent: Monday\r\nTo: Team\r\nSubject: VPN\r\n\r\nold",
        },
        [{0x3001: "Team", 0x3003: "team@example.com"}],
        [{0x3707: "times.txt", 0x3701: b"11:00 link down"}],
    )
    found = read(folder(tmp_path / "m", {"1.eml": _mails()[2].as_bytes(), "2.msg": sent}), "mail")
    thread = found["1@example.com"]
    assert thread.text.endswith("## Cy, 2026-01-06T12:00:00Z\n\nSame here.")
    assert (thread.metadata["to"], thread.metadata["author"]) == ("Team", ["Ana Ruiz", "Cy"])
    assert found["1@example.com/times.txt"].text == "11:00 link down"
    (tmp_path / "bad.msg").write_bytes(sent[:700])
    assert read(tmp_path / "bad.msg", "mail").failures[0].reason.startswith("the file is damaged")


def test_attachments_of_one_name_and_mails_without_ids_are_all_read(tmp_path: Path) -> None:
    first, second = _mail("1", "Plan", "one", day=5), _mail("2", "Re: Plan", "two", day=6, parent="1")
    for mail, text in ((first, b"version 1"), (second, b"version 2"), (second, b"version 2")):
        mail.add_attachment(text, "text", "plain", filename="plan.txt")
    bare = EmailMessage()
    bare.set_content("no headers at all")
    mails = {"1.eml": first, "2.eml": second, "3.eml": bare}
    found = read(folder(tmp_path / "m", {name: mail.as_bytes() for name, mail in mails.items()}), "mail")
    plans = sorted((id, one.text) for id, one in found.documents.items() if id.endswith(".txt"))
    assert plans == [
        ("1@example.com/2@example.com/plan.txt", "version 2"),
        ("1@example.com/plan (2).txt", "version 2"),
        ("1@example.com/plan.txt", "version 1"),
    ]
    assert any(one.text == "no headers at all" for one in found.documents.values())


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xfe\x00", b"From: =?x?q?=\nSubject: =?utf-8?b?!!?=\nDate: never\n\nstill text", b"\n\n", b"a" * 5000],
)
def test_damaged_mails_are_read_as_far_as_they_go(tmp_path: Path, damage: bytes) -> None:
    found = read(folder(tmp_path / "m", {"a.eml": damage, "b.eml": _mails()[1].as_bytes()}), "mail")
    assert "9@example.com" in found.documents
    assert len(found.documents) + len(found.failures) == 2


_KEPT = [
    ("Yes.\n\n> Shall we?\n> Or not?\n\nAnd no.", "Yes.\n\n\nAnd no."),
    ("Top.\n\n-----Original Message-----\nFrom: Bo\nold text", "Top."),
    ("Top.\n\nVon: Bo\nGesendet: Montag\nAn: Ana\nBetreff: x\n\nold text", "Top."),
    ("Top.\n\n*From:* Bo\n*Sent:* Monday\n*To:* Ana\n\nold text", "Top."),
    ("Le lun. 5 janv. 2026 à 10:00, Bo <bo@x.org> a écrit :\n> vieux", ""),
    ("Text.\n-- \nAna Ruiz\nACME", "Text."),
    ("Text.\n\nSent from my iPhone", "Text."),
    ("Text.\n\nMit freundlichen Grüßen\nAna", "Text."),
    ("Options:\n- one\n- two\n\n    code(1)", "Options:\n- one\n- two\n\n    code(1)"),
    ("Thanks,\nplease restart it, and then tell me what the log says about the second disk.", None),
    ("The key facts are these:\n> not quoted by date\nbut here", "The key facts are these:\nbut here"),
    ("See below\n\n---------- Forwarded message ---------\nFrom: Bo\n\n> kept", None),
]


@pytest.mark.parametrize(("text", "kept"), _KEPT)
def test_what_a_writer_wrote_is_kept_and_nothing_else(text: str, kept: str | None) -> None:
    assert own_text(text) == (text if kept is None else kept)


def test_a_forwarded_mail_is_kept(tmp_path: Path) -> None:
    text = "FYI\n\nFrom: Bo\nSent: Monday\nTo: Ana\nSubject: Outage\n\nThe outage lasted an hour."
    assert own_text(text, forwarded=True) == text


NESTED = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (one, one) for one in range(300))
PARAMETERS = b"Content-Type: text/plain; " + b"a=b; " * 60_000 + b"\n\nparameters\n"
HOSTILE = {
    "many receivers": (b"To: " + b"a@b.c, " * 60_000 + b"\n\nreceivers\n", "receivers"),
    "many parameters": (PARAMETERS, "parameters"),
    "parts in parts": (NESTED, "the mail is nested too deeply"),
    "more parts in parts": (NESTED * 9, "the mail is nested too deeply"),
    "messages in messages": (b"Content-Type: message/rfc822\n\n" * 3000, "the mail is nested too deeply"),
    "parameters that cannot be parsed": (
        b"Content-Disposition: inline; filename*=punycode''a-b\n\nkept\n",
        "kept",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_mail_takes_no_time_and_stops_no_other(tmp_path: Path, kind: str) -> None:
    content, expected = HOSTILE[kind]
    (tmp_path / "a.mbox").write_bytes(
        b"From a@b Mon Jan  1 00:00:00 2024\n" + content + b"\nFrom a@b Mon Jan  1 00:00:00 2024\n\nthe other\n"
    )
    began = time.process_time()
    found = read(tmp_path / "a.mbox", "mail")
    assert time.process_time() - began < 10.0
    said = f"{found.documents} {found.failures}"
    assert expected in said
    assert "the other" in said
