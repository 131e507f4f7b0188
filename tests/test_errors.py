from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from docsim import Encoder
from docsim.cli import main
from docsim.errors import DocsimError, EncoderError, StoreError, UsageError


def test_a_hint_is_not_part_of_the_message() -> None:
    error = StoreError("the index is damaged", hint="docsim repair")
    assert str(error) == "the index is damaged"
    assert error.hint == "docsim repair"


def test_an_error_without_a_hint_has_none() -> None:
    assert UsageError("expected one text, got two").hint is None


def test_an_error_goes_to_another_process_with_its_hint() -> None:
    error = pickle.loads(pickle.dumps(StoreError("the index is damaged", hint="docsim repair")))
    assert (type(error), str(error), error.hint) == (StoreError, "the index is damaged", "docsim repair")


def test_the_library_names_no_command_when_an_encoder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EncoderError) as caught:
        Encoder.load(tmp_path)
    assert "docsim " not in str(caught.value)
    assert caught.value.hint is not None


def test_the_command_line_prints_the_hint_after_the_message(tmp_path: Path) -> None:
    with pytest.raises(DocsimError) as caught:
        Encoder.load(tmp_path)
    result = CliRunner().invoke(main, ["encoder", "show", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {caught.value}. Try: {caught.value.hint}\n"
