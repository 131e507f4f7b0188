"""The encoding of a text is decided on the whole of it, and what it declares is believed only if it decodes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from docsim.ingest.encodings import Undecided, decode, encoding, is_binary
from docsim.ingest.formats import read
from docsim.ingest.sources import open_source
from docsim.models import Entry

TEXTS = {
    "cp1254": "Toplantı salonu için önceden başvuru yapılmalıdır; giriş kartı güvenlikten alınır.",
    "cp1250": "A raktárban dolgozók cipőt és sisakot viselnek, a főnök ellenőrzi őket minden műszak előtt.",
    "iso8859-2": "Sprzęt należy zwrócić do końca miesiąca, a dział księgowości wystawi potwierdzenie. Źródło: gość.",
    "cp1257": "Kiekvienas darbuotojas privalo pranešti apie ligą iki pietų, žiūrėkite taisyklių šešiasdešimtą punktą.",
    "cp1251": "Пропуск выдаётся на проходной после проверки документов.",
    "koi8-r": "Пропуск выдаётся на проходной после проверки документов.",
    "cp1253": "Η κάρτα εισόδου εκδίδεται μετά από έλεγχο των εγγράφων.",
    "cp1255": "כרטיס הכניסה מונפק לאחר בדיקת המסמכים בשער הראשי",
    "cp1256": "تصدر بطاقة الدخول بعد فحص الوثائق عند البوابة الرئيسية",
    "cp932": "入館証は受付で書類を確認した後に発行されます。",
    "euc-jp": "入館証は受付で書類を確認した後に発行されます。",
    "gb18030": "出入证在门卫检查文件后发放，请妥善保管。",
    "big5": "出入證在門衛檢查文件後發放，請妥善保管。",
    "cp949": "출입증은 경비실에서 서류를 확인한 후 발급됩니다.",
    "cp1252": "Les clés sont à l’accueil – « façade » sud, près du café.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_in_a_legacy_code_page_reads_as_it_was_written(name: str) -> None:
    assert decode(TEXTS[name].encode(name)) == TEXTS[name]


@pytest.mark.parametrize("data", [b"\0\1\2\3" * 100, b"\1\0\2\0" * 100, bytes([0, 65, 0, 7]) * 50])
def test_data_with_many_zeros_are_not_text(data: bytes) -> None:
    assert is_binary(data)


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_no_mark(name: str) -> None:
    data = "Keys are at the desk.\nGrüße".encode(name)
    assert not is_binary(data)
    assert encoding(data) == name


def test_a_declaration_that_does_not_decode_is_not_believed() -> None:
    data = "Schlüssel für Gäste".encode("cp1252")
    assert decode(data, declared="utf-8") == decode(data, declared="shift_jis") == "Schlüssel für Gäste"


@pytest.mark.parametrize("label", ["iso-8859-1", "ascii", "latin1", " Windows-1252 "])
def test_a_label_means_what_browsers_take_it_for(label: str) -> None:
    assert decode("“€ 5” – so".encode("cp1252"), declared=label) == "“€ 5” – so"


@pytest.mark.parametrize("label", ["punycode", "rot13", "idna", "unicode_escape", "utf-7", "hex", "zip"])
def test_a_codec_that_is_no_label_is_never_used(label: str) -> None:
    page = f"<meta charset={label}>".encode() + b"<p>caf\xe9 " * 50_000
    assert read(page, ".html", "x.html").text.startswith("café")


def test_the_charset_of_a_script_is_not_that_of_the_page() -> None:
    page = '<script charset="shift_jis" src="x"></script><!-- <meta charset=koi8-r> --><p>Überprüfung'
    assert read(page.encode("cp1252"), ".html", "x.html").text == "Überprüfung"


@pytest.mark.parametrize(
    "declaration", ['<meta http-equiv=X content="text/html; charset=koi8-r">', "<meta charset='koi8-r'>"]
)
def test_a_page_is_read_in_what_it_declares(declaration: str) -> None:
    assert read(f"{declaration}<p>Вход".encode("koi8-r"), ".html", "x.html").text == "Вход"


@pytest.mark.parametrize("name", ["late.csv", "late.csv.gz"])
def test_a_table_is_read_in_the_encoding_of_its_last_rows_too(tmp_path: Path, name: str) -> None:
    rows = [f"{n},plain words in row {n}" for n in range(9000)]
    data = "\n".join(["id,text", *rows, "x,Führungskräfte müssen prüfen"]).encode("cp1252")
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    *_, last = open_source(str(tmp_path / name)).entries()
    assert isinstance(last, Entry)
    assert last.load().text == "Führungskräfte müssen prüfen"


def test_a_text_read_in_pieces_is_in_the_same_encoding() -> None:
    data = ("plain\n" * 5000 + TEXTS["cp1250"]).encode("cp1250")
    undecided = Undecided()
    for start in range(0, len(data), 7):
        undecided.feed(data[start : start + 7])
    assert undecided.decided() == encoding(data) == "cp1250"
