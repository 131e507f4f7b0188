"""Where the default encoder ends: other languages, and code.

    python benchmarks/default_limits.py

Each of ten English sentences looks for its translation among all ten, and for a line of code that does what it says.
One in ten would be found by chance. Writes benchmarks/results/default_limits.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from docsim.encoding.encoder import Encoder

RESULTS = Path(__file__).parent / "results" / "default_limits.json"

ENGLISH = (
    "The server restarts every night",
    "Please send the invoice to the customer",
    "The dog sleeps in the garden",
    "Delete the temporary files first",
    "Our office is closed on Friday",
    "The password must have twelve characters",
    "She bought fresh bread at the market",
    "The train to the coast was late",
    "Sort the list by price",
    "The meeting begins at nine",
)
OTHERS = {
    "English, in other words": (
        "Each evening the machine reboots",
        "Mail the bill to the client",
        "A hound naps on the lawn",
        "Begin by removing temp data",
        "We do not work at the end of the week",
        "A passphrase needs at least twelve letters",
        "A loaf was purchased by her from the stall",
        "The railway service to the sea arrived after its time",
        "Order the items by how much they cost",
        "We gather for the discussion in the morning at 9",
    ),
    "German": (
        "Der Server startet jede Nacht neu",
        "Bitte senden Sie die Rechnung an den Kunden",
        "Der Hund schläft im Garten",
        "Löschen Sie zuerst die temporären Dateien",
        "Unser Büro ist am Freitag geschlossen",
        "Das Passwort muss zwölf Zeichen haben",
        "Sie kaufte frisches Brot auf dem Markt",
        "Der Zug an die Küste hatte Verspätung",
        "Sortiere die Liste nach dem Preis",
        "Die Besprechung beginnt um neun",
    ),
    "Russian": (
        "Сервер перезапускается каждую ночь",
        "Пожалуйста, отправьте счёт клиенту",
        "Собака спит в саду",
        "Сначала удалите временные файлы",
        "Наш офис закрыт в пятницу",
        "Пароль должен содержать двенадцать символов",
        "Она купила свежий хлеб на рынке",
        "Поезд на побережье опоздал",
        "Отсортируйте список по цене",
        "Встреча начинается в девять",
    ),
    "code": (
        'schedule.every().day.at("02:00").do(server.restart)',
        "mailer.send(customer.email, attachment=invoice)",
        "garden.place(Dog(state=SLEEPING))",
        "for file in tmp.glob('*'): file.unlink()",
        "if day == FRIDAY: office.is_open = False",
        "assert len(password) >= 12",
        'basket.add(market.buy("bread", fresh=True))',
        "train.arrival = train.planned + delay",
        "items.sort(key=lambda item: item.price)",
        "meeting.start = time(hour=9)",
    ),
}


def main() -> None:
    encoder = Encoder.default()
    asked = encoder.encode(ENGLISH)
    found = {}
    for name, texts in OTHERS.items():
        best = np.argmax(asked @ encoder.encode(texts).T, axis=1)
        found[name] = int((best == np.arange(len(ENGLISH))).sum())
        print(f"{name}: {found[name]} of {len(ENGLISH)}")
    result = {"encoder": encoder.fingerprint, "of": len(ENGLISH), "found": found}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
