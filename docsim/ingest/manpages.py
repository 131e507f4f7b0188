"""Manual pages: from troff with ``man`` or ``mdoc`` macros to plain text with Markdown headings.

The result has what a reader of the page sees, without comments, licences and layout. This is not a typesetter: unknown
macros are replaced by their arguments, and requests are dropped. (There is no library for it in Python, and mandoc and
groff are programs that a user may not have.)
"""

from __future__ import annotations

import re

from docsim.ingest.content import FileContent, one_line, tidy

__all__ = ["SUFFIXES", "is_manual", "read"]

SUFFIXES = frozenset(f".{section}" for section in range(1, 9))
"""The suffixes of manual pages. Other text files may have them too, see ``is_manual``."""

_MANUAL = re.compile(r"^\.(?:TH|Dt)[ \t]", re.MULTILINE)
_UNSEEN = re.compile(
    r"^[.'][ \t]*(?:de|am|ig)\b[^\n]*\n(?:(?!\.\.)[^\n]*\n){0,200}\.\.[^\n]*$"  # definitions
    r"|^\.TS[^\n]*(?:\n[^\n.]+){0,5}\n[^\n.]*\.[ \t]*$|^T\}[ \t]*|T\{$"  # the layout of tables
    r"|^[.'][ \t]*\\[\"#][^\n]*\n|\\\"[^\n]*",  # comments
    re.MULTILINE,
)
_LINE = re.compile(r"[.'][ \t]*(?P<macro>\w*)(?P<rest>.*)")
_ARGUMENT = re.compile(r"\"((?:[^\"]|\"\")*)\"?|(\S+)")
_NAME = re.compile(r"^## NAME\n+((?:[^\n#][^\n]*\n?){1,4})", re.MULTILINE | re.IGNORECASE)
_ESCAPE = re.compile(
    r"\\(?:(?P<literal>[-'` ~e\\])|[fFmM*n](?:\[[^\]\n]*\]|\(..|.)|s[-+]?\d{1,2}"
    r"|\((?P<two>..)|\[(?P<long>[^\]\n]*)\]|.)"
)
_LITERALS = {"~": " ", "e": "\\"}
_GLYPHS = {
    **{"aq": "'", "cq": "’", "oq": "‘", "lq": "“", "rq": "”", "dq": '"', "bu": "•", "co": "©", "em": "—", "en": "–"},
    **{"ha": "^", "ti": "~", "rs": "\\", "mi": "-", "hy": "-", "->": "→", "<-": "←", "<=": "≤", ">=": "≥", "mu": "×"},
}
_BREAKS = {"PP", "P", "LP", "HP", "TP", "TQ", "IP", "Pp", "It", "sp", "RS", "RE"}
_ALTERNATING = {"BI", "BR", "IB", "IR", "RB", "RI"}
_SILENT = {"TH", "UE", "ME", "YS", "Dd", "Dt", "Os", "Bl", "El", "Sm"}
_AS_IT_IS = {".nf": True, ".fi": False, ".EX": True, ".EE": False, ".TS": True, ".TE": False}
"""Requests that turn filling off (True), so that line ends are kept, or on again (False)."""


def is_manual(text: str) -> bool:
    """Return whether a text is the source of a manual page, that is, sets a page title with a macro."""
    return bool(_MANUAL.search(text))


def read(text: str) -> FileContent:
    """Read a manual page. The title is the content of the section NAME, such as ``sin, sinf - sine function``."""
    pieces: list[str] = []
    separator = " "
    for line in _UNSEEN.sub("", text).split("\n"):
        if line in _AS_IT_IS:
            separator = "\n" if _AS_IT_IS[line] else " "
            pieces.append("\n")
        elif (seen := _rendered(line)) is not None:
            pieces.append(seen if seen.endswith("\n") else seen + separator)
    body = tidy("".join(pieces))
    name = _NAME.search(body)
    return FileContent(body, one_line(name[1].partition("\n\n")[0]) if name else "")


def _rendered(line: str) -> str | None:
    """Return what a reader sees of one line of the source, or None when that is nothing."""
    match = _LINE.match(line)
    if match is None:
        return _unescaped(line) or "\n\n"
    macro = match["macro"]
    words = [_unescaped(quoted.replace('""', '"') or bare) for quoted, bare in _ARGUMENT.findall(match["rest"])]
    if macro in {"SH", "Sh", "SS", "Ss"}:
        return f"\n\n{'##' if macro in {'SH', 'Sh'} else '###'} {' '.join(words)}\n\n"
    if macro in _BREAKS:
        return "\n\n" + (" ".join(words[:1]) if macro == "IP" else " ".join(words) if macro == "It" else "")
    if not words or not macro[:1].isupper() or macro in _SILENT:
        return None
    if macro in _ALTERNATING:
        return "".join(words)
    return {"Nd": "- ", "Fl": "-"}.get(macro, "") + " ".join(words)


def _unescaped(text: str) -> str:
    """Return a text with troff's escape sequences replaced by the characters they stand for, or removed."""
    return _ESCAPE.sub(_glyph, text)


def _glyph(match: re.Match[str]) -> str:
    if literal := match["literal"]:
        return _LITERALS.get(literal, literal)
    return _GLYPHS.get(match["two"] or match["long"] or "", "")
