from __future__ import annotations

import threading
from pathlib import Path

from docsim.engine.local.locks import check_writable


def test_two_processes_may_check_one_folder_at_once(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def check() -> None:
        try:
            for _ in range(300):
                check_writable(tmp_path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
