"""Whether a vocabulary reads the words of a text, and what an index and its status say where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.encoding.spelling import MOST_SPELLED_OUT, spelled_out_share
from docsim.index import Index
from docsim.maintenance.vocabulary_advice import Vocabulary, advice, read_vocabulary, suits
from docsim.models import Document

HANDBOOK = Path(__file__).parent.parent / "corpus" / "handbook"

READ = {
    "en": "How do we rotate the signing keys of a service? Ask in the channel first.",
    "de": "Wer die Reisekosten bis zum Monatsende einreicht, bekommt sie mit dem nächsten Gehalt. Bei Krankheit "
    "ist die Arbeitsunfähigkeitsbescheinigung unverzüglich vorzulegen; Überstunden müssen genehmigt werden.",
    "fr": "Les salariés qui se déplacent déposent leur note de frais avant la fin du mois. L'arrêt maladie doit être "
    "envoyé dès le premier jour d'absence, et le congé parental se demande deux mois à l'avance.",
    "es": "Los empleados que viajan por trabajo presentan sus gastos antes de fin de mes, con los recibos adjuntos.",
    "pl": "Pracownicy podróżujący służbowo składają rozliczenie wydatków przed końcem miesiąca, z rachunkami.",
    "tr": "İş için seyahat eden çalışanlar masraflarını ay sonuna kadar bildirir; fişler eklenmelidir.",
    "vi": "Nhân viên đi công tác phải nộp bảng kê chi phí trước cuối tháng, kèm theo hóa đơn.",
    "Markdown": "- `git rebase -i HEAD~3` : edit [the] last (3) commits; {see} <also> #4 --- ***",
    "digests": "the commit a94a8fe5ccb19ba61c4c0873d391e98798 has 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "formulas": "Let f(x) = a x + b and g(y) = c y + d where x, y and z are real numbers, for all i, j and k.",
    "pictures": "The logo is here: data:image/png;base64,"
    + "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4" * 4,
    "smileys": "Release 🎉🎉 done ✅ ship it 🚀 thanks 🙏",
    "nothing": "",
}
SPELLED_OUT = {
    "ru": "Сотрудники сдают отчёт о расходах до конца месяца, и руководитель утверждает заявку за пять дней.",
    "el": "Οι εργαζόμενοι που ταξιδεύουν για τη δουλειά υποβάλλουν τα έξοδά τους πριν από το τέλος του μήνα.",
    "ar": "يقدم الموظفون الذين يسافرون للعمل نفقاتهم قبل نهاية الشهر. يجب إرفاق الإيصالات.",
    "hi": "जो कर्मचारी काम के लिए यात्रा करते हैं वे महीने के अंत तक अपना खर्च जमा करते हैं।",
    "th": "พนักงานที่เดินทางไปทำงานต้องส่งค่าใช้จ่ายก่อนสิ้นเดือน ต้องแนบใบเสร็จ",
    "ko": "업무로 출장을 가는 직원은 월말까지 경비를 제출합니다. 영수증은 첨부해야 합니다.",
    "ja": "出張する社員は月末までに経費を申請してください。領収書は添付が必要です。",
    "zh": "因公出差的员工应在月底前提交费用报销。超过二十欧元的收据必须附上。",
}


@pytest.mark.parametrize("name", READ)
def test_words_in_latin_letters_are_read(name: str) -> None:
    assert spelled_out_share(Encoder.default(), [READ[name]]) < MOST_SPELLED_OUT / 2


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_words_of_which_only_letters_are_known_are_spelled_out(name: str) -> None:
    assert spelled_out_share(Encoder.default(), [SPELLED_OUT[name]]) > 0.6


def test_both_shipped_encoders_tell_the_same() -> None:
    texts = [*READ.values(), *SPELLED_OUT.values()]
    shares = [spelled_out_share(Encoder.load(name), texts) for name in ("fast", "accurate")]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_each_text_counts_by_its_letters() -> None:
    assert spelled_out_share(Encoder.default(), ["abcdef ghijkl", "мир"]) == pytest.approx(3 / 15)


def docsim(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)


@pytest.mark.parametrize("name", ["ru", "ja", "zh"])
def test_a_team_whose_words_are_spelled_out_is_told_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(12):
        (tmp_path / "docs" / f"{number}.md").write_text(f"{SPELLED_OUT[name]}\n\n{number}\n", encoding="utf-8")
    told = docsim("index", tmp_path / "docs", "--index", tmp_path / "index").stderr
    assert "spells out" in told
    assert "docsim adapt makes a vocabulary of these documents" in told
    assert "docsim adapt makes a vocabulary" in docsim("status", "--index", tmp_path / "index").stdout
    found = json.loads(docsim("status", "--index", tmp_path / "index", "--json").stdout)["encoder"]
    assert found["spelled_out"] > 0.8
    assert "docsim adapt makes a vocabulary" in found["advice"]
    with Index.open(tmp_path / "index") as index:
        assert not suits(index, index.encoder)


@pytest.mark.parametrize("name", ["en", "de", "fr", "smileys"])
def test_a_team_whose_words_are_read_is_told_of_no_vocabulary(tmp_path: Path, name: str) -> None:
    with Index.create(tmp_path / "index") as index:
        index.sync(Document(str(number), f"{READ[name]}\n\n{number}\n") for number in range(12))
        found = read_vocabulary(index)
        assert found is not None
        assert "docsim adapt" not in (advice(found) or "")
        assert suits(index, index.encoder)
        assert read_vocabulary(index) == found  # remembered


def test_the_sample_handbook_needs_no_advice(tmp_path: Path) -> None:
    assert "vocabulary" not in docsim("index", HANDBOOK, "--index", tmp_path / "index").stderr
    assert json.loads(docsim("status", "--index", tmp_path / "index", "--json").stdout)["encoder"]["advice"] is None


def test_where_adapting_makes_no_vocabulary_it_is_not_said_to(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(Document(str(number), SPELLED_OUT["ru"]) for number in range(12))
        found = read_vocabulary(index)
        assert found is not None
        assert suits(index, index.encoder)
    told = advice(found)
    assert told is not None
    assert "docsim adapt" not in told
    assert "docsim encoder import" in told
    few = advice(Vocabulary(unknown=0.03, spelled_out=0.05, is_replaced=True))
    assert few is not None
    assert "docsim adapt" not in few
