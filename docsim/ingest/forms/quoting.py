"""Quoting: what of a mail its writer wrote, without what is quoted from other mails, and without the signature.

It goes line by line, in linear time. mail-parser-reply, a library for it, was tried and is not used: it takes a list
whose items begin with a hyphen for a signature, drops it with all that follows, and removes indentation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["own_text"]

_VERBS = (
    "wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev|napisał|napsal|kirjoitti|írta|написал|写道"
)
_ATTRIBUTION = re.compile(
    rf"(?:On|Am|Le|El|Il|Op|Em|Den|W dniu|Dne|Den|On) .{{4,400}}\b(?:{_VERBS})\b.{{0,200}}:\Z|.{{4,400}}写道[:：]\Z",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+|\d{1,2}[:.]\d\d")
_SEPARATOR = re.compile(
    r"-{2,} ?(?:Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d.origine|Mensaje original"
    r"|Messaggio originale|Oorspronkelijk bericht|Mensagem original|Oprindelig meddelelse|Ursprungligt meddelande"
    r"|原始邮件|Původní zpráva|Wiadomość oryginalna) ?-{2,}\Z",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"-{2,} ?(?:Forwarded message|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado) ?-*\Z"
    r"|Begin forwarded message:\Z|Anfang der weitergeleiteten Nachricht:\Z",
    re.IGNORECASE,
)
_FIELDS = {
    *("from", "sent", "to", "subject", "date", "cc", "von", "gesendet", "an", "betreff", "datum", "de", "envoyé", "à"),
    *("objet", "enviado", "enviado el", "para", "asunto", "da", "inviato", "a", "oggetto", "van", "verzonden", "aan"),
    *("onderwerp", "assunto", "fra", "sendt", "til", "emne", "från", "skickat", "till", "ämne", "od", "wysłano", "do"),
    *("temat", "发件人", "发送时间", "收件人", "主题", "差出人", "送信日時", "宛先", "件名", "von:", "cc:"),
}
_FIELD = re.compile(r"\W{0,3}([^\W\d_][\w ]{0,15}?)[ \u00a0]?[*_]{0,2}[:：]")
_SENT_FROM = re.compile(
    r"(?:Sent from my |Sent from Mail |Get Outlook for |Von meinem .{2,30} gesendet|Gesendet von |Envoyé de mon "
    r"|Enviado desde mi |Inviato da |Verzonden vanaf |Enviado do meu |Sent via )[^\n]{0,60}\Z",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:best|kind|warm|with kind|with best)?[ ]?regards|best(?: wishes)?|cheers|sincerely(?: yours)?|yours"
    r" (?:sincerely|truly|faithfully)|(?:many )?thanks(?: and regards)?|thank you|mit freundlichen grüßen"
    r"|(?:viele|beste|liebe|schöne)"
    r" grüße|freundliche grüsse|cordialement|bien à vous|saludos(?: cordiales)?|atentamente|cordiali saluti|saluti"
    r"|met vriendelijke groeten?|groeten|atenciosamente|med venlig hilsen|med vänliga hälsningar|pozdrawiam|mvh|mfg|lg)"
    r"[,.! ]*\Z",
    re.IGNORECASE,
)
_SIGNED = 8  # lines of a signature below its closing, at most
_WIDE = 70  # characters of such a line, at most


def own_text(text: str, *, forwarded: bool = False) -> str:
    """Return the text of a mail without quotations and without the signature at its end.

    Args:
        text: The body, with line feeds.
        forwarded: Whether the mail forwards another one, whose text then stays.
    """
    lines = text.split("\n")
    kept: list[str] = []
    for number, line in enumerate(lines):
        if not forwarded and _begins_old_mail(lines, number):
            break
        if _FORWARDED.match(line.strip()):
            return "\n".join([*_unsigned(kept), "", *lines[number:]]).strip()
        kept.append(line)
    if not forwarded:
        kept = _unquoted(kept)
    return "\n".join(_unsigned(kept)).strip()


def _begins_old_mail(lines: Sequence[str], number: int) -> bool:
    """Return whether the mail that was answered stands from a line on to the end."""
    line = lines[number].strip()
    if _SEPARATOR.match(line):
        return True
    return sum(_is_field(one) for one in lines[number : number + 6]) >= 3 and _is_field(line)


def _is_field(line: str) -> bool:
    match = _FIELD.match(line.strip())
    return match is not None and match[1].strip().lower() in _FIELDS


def _unquoted(lines: Sequence[str]) -> list[str]:
    """Return lines without those that are quoted, and those that say who is."""
    kept: list[str] = []
    for line in lines:
        if not line.lstrip().startswith(">"):
            kept.append(line)
        elif not kept or kept[-1] is not _QUOTED:
            del kept[_attributed(kept) :]
            kept.append(_QUOTED)
    return [line for line in kept[: _attributed(kept, at_end=True)] if line is not _QUOTED]


_QUOTED = "> quoted"  # known by its identity


def _attributed(lines: Sequence[str], *, at_end: bool = False) -> int:
    """Return how many lines are left without an attribution at their end, which may be broken over three lines."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    for count in (1, 2, 3):
        said = " ".join(line.strip() for line in lines[max(0, end - count) : end])
        if said and _ATTRIBUTION.match(said):
            return max(0, end - count)
    said = lines[end - 1].strip() if end else ""
    is_generic = not at_end and said.endswith((":", "：")) and _ADDRESS.search(said)
    return end - 1 if is_generic else len(lines)


def _unsigned(lines: Sequence[str]) -> list[str]:
    """Return lines without a signature: below ``--``, or a closing and a few short lines at the end."""
    lines = list(lines)
    for number, line in enumerate(lines):
        if line.rstrip("\r") in ("-- ", "--", "--\u00a0", "__") and number:
            lines = lines[:number]
            break
    while lines and (not lines[-1].strip() or _SENT_FROM.match(lines[-1].strip())):
        lines.pop()
    for number in range(len(lines) - 1, max(0, len(lines) - 4 * _SIGNED), -1):
        below = [line.strip() for line in lines[number + 1 :] if line.strip()]
        if len(below) > _SIGNED or any(len(one) > _WIDE or one.endswith((".", "?", ":")) for one in below):
            break
        if _CLOSING.match(lines[number].strip()):
            return lines[:number]
    return lines
