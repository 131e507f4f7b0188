"""Directories of models as sentence-transformers and model2vec write them, and what their settings say.

modules.json                       what happens one after another; each module has a folder of its own
config.json                        architecture, activation, widths
model.safetensors                  weights; formats that can run code, such as pytorch_model.bin, are never read
tokenizer.json                     tokenizer
tokenizer_config.json              number of tokens that it reads
sentence_bert_config.json          the same, in older directories
1_Pooling/config.json              how the states of tokens become one row
2_Dense/config.json                a linear layer after that
config_sentence_transformers.json  prompts: what stands before a question or a document
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tokenizers import Tokenizer

from docsim.encoding.tokenizer_file import MOST_CHARACTERS, read_tokenizer
from docsim.errors import EncoderError, TrainingError

__all__ = ["WEIGHTS_FILE", "Json", "ModelDirectory", "Module", "Prompts"]

WEIGHTS_FILE = "model.safetensors"

Json = Mapping[str, Any]

_POOLINGS = {"mean": "mean", "cls": "first", "max": "max", "lasttoken": "last"}
_POOLINGS |= {"mean_sqrt_len": "mean", "mean_sqrt_len_tokens": "mean"}  # the same once scaled to unit length
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # in the order in which sentence-transformers looks for them
_FAR_TOO_MANY = 1_000_000  # tokenizers without a limit say 10 ** 30
_MOST_MODULES = 100
_LARGEST_JSON = 10_000_000  # bytes
_LARGEST_TOKENIZER = 4 * MOST_CHARACTERS  # bytes


@dataclass(frozen=True, slots=True)
class Module:
    """One step of a model.

    Attributes:
        kind: Name of its class, such as ``Transformer`` or ``Pooling``.
        path: Its folder.
    """

    kind: str
    path: Path


@dataclass(frozen=True, slots=True)
class Prompts:
    """What stands before texts."""

    query: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model's directory and its modules.

    Attributes:
        path: The directory.
        modules: The modules in order; a transformer alone if the directory does not list them.
    """

    path: Path
    modules: tuple[Module, ...]

    @classmethod
    def open(cls, path: str | Path) -> ModelDirectory:
        """Read which modules a model has.

        Raises:
            TrainingError: There is no such directory, or it lists modules outside itself.
        """
        path = Path(path).absolute()
        if not path.is_dir():
            raise TrainingError(f"expected the directory of a model at {path}; there is none")
        listed = _read_json(path, "modules.json", optional=True)
        if listed is None:
            return cls(path, (Module("Transformer", path),))
        if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
            raise TrainingError(f"expected a list of modules in the modules.json of the model at {path}")
        if len(listed) > _MOST_MODULES:
            raise TrainingError(f"expected at most {_MOST_MODULES} modules in the modules.json of the model at {path}")
        return cls(path, tuple(_module(path, one) for one in listed))

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.path.name

    def of_kind(self, kind: str) -> list[Module]:
        """Return the modules of a kind, in order."""
        return [module for module in self.modules if module.kind == kind]

    @property
    def core(self) -> Path:
        """The folder of the first module: the transformer, or the static embedding."""
        return self.modules[0].path

    def config(self) -> Json:
        """Return the ``config.json`` of the first module."""
        return _read_object(self.core, "config.json")

    def optional(self, name: str, *, module: Module | None = None) -> Json:
        """Return the JSON object in a file of the first module, or of another one; empty if there is no such file."""
        return _read_object(module.path if module else self.core, name, optional=True)

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer, which neither pads nor truncates.

        Raises:
            TrainingError: There is none, or it cannot be used.
        """
        file = self.core / "tokenizer.json"
        if not file.is_file():
            raise TrainingError(
                f"expected a model with a tokenizer.json at {self.core}; there is none. Save the tokenizer again with "
                "AutoTokenizer of transformers, which writes one"
            )
        try:
            tokenizer = read_tokenizer(_text(file, _LARGEST_TOKENIZER))
        except (OSError, ValueError, EncoderError) as error:
            raise TrainingError(f"expected a tokenizer that can be used in the model at {self.path}; {error}") from None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def lowers_case(self) -> bool:
        """Return whether texts are put in lower case before the tokenizer reads them."""
        return bool(self.optional("sentence_bert_config.json").get("do_lower_case"))

    def max_tokens(self, *, most: int) -> int:
        """Return how many tokens of a text are read, special tokens included: what the files say, or ``most``."""
        said = self.optional("sentence_bert_config.json").get("max_seq_length")
        said = said or self.optional("tokenizer_config.json").get("model_max_length")
        if not isinstance(said, (int, float)) or not 1 <= said < _FAR_TOO_MANY:
            return most
        return min(int(said), most)

    def pooling(self) -> str:
        """Return how token states become one row: ``mean``, ``max``, ``first`` or ``last``.

        Raises:
            TrainingError: In another way, or in several at once.
        """
        settings = self._pooling_settings()
        flags = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
        named = settings.get("pooling_mode") or [_FLAGS.get(flag, flag) for flag in flags] or "mean"
        names = [str(name) for name in named] if isinstance(named, list) else [str(named)]
        if len(names) != 1 or names[0] not in _POOLINGS:
            raise TrainingError(
                f"expected a model at {self.path} with exactly one of the poolings mean, cls, max and lasttoken; its "
                f"1_Pooling/config.json has {', '.join(names)}"
            )
        return _POOLINGS[names[0]]

    def prompts(self) -> Prompts:
        """Return what sentence-transformers puts before questions and documents.

        Raises:
            TrainingError: The prompts are no texts, or are left out of the mean.
        """
        settings = _read_object(self.path, "config_sentence_transformers.json", optional=True)
        known = settings.get("prompts") or {}
        if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
            raise TrainingError(f"expected prompts that are texts in config_sentence_transformers.json at {self.path}")
        usual: str = known.get(str(settings.get("default_prompt_name") or ""), "")
        documents = [known[name] for name in _DOCUMENT_PROMPTS if name in known]
        document = next((text for text in documents if text), "") if documents else usual
        prompts = Prompts(known.get("query", usual), document)
        if prompts != Prompts() and self._pooling_settings().get("include_prompt", True) is not True:
            raise TrainingError(
                f"expected a model at {self.path} whose mean includes the prompt; its 1_Pooling/config.json says that "
                "it does not (include_prompt), which docsim cannot do"
            )
        return prompts

    def _pooling_settings(self) -> Json:
        """Return the settings of the pooling; old directories do not say where they are."""
        told = [module.path for module in self.of_kind("Pooling") if module.path != self.path]
        return _read_object(told[0] if told else self.path / "1_Pooling", "config.json", optional=True)


def _module(path: Path, settings: Json) -> Module:
    folder = PurePosixPath(str(settings.get("path", "")))
    if folder.is_absolute() or ".." in folder.parts:
        raise TrainingError(
            f"expected modules inside the model's directory {path}; its modules.json has {str(folder)!r}"
        )
    return Module(str(settings.get("type", "")).rpartition(".")[2], path / folder)


def _read_object(path: Path, name: str, *, optional: bool = False) -> Json:
    """Return the JSON object in a file; an empty one if an optional file is missing."""
    content = _read_json(path, name, optional=optional)
    if content is None and optional:
        return {}
    if not isinstance(content, dict):
        raise TrainingError(f"expected a JSON object in the {name} of the model at {path}; got another type")
    return content


def _read_json(path: Path, name: str, *, optional: bool = False) -> Any:
    file = path / name
    if not file.is_file():  # a device or a pipe may have no end
        if optional:
            return None
        reason = "it is no regular file" if file.exists() else "there is no such file"
        raise TrainingError(f"expected the directory of a model at {path}; its {name} cannot be read ({reason})")
    try:
        return json.loads(_text(file, _LARGEST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(
            f"expected the directory of a model at {path}; its {name} cannot be read ({error})"
        ) from error


def _text(file: Path, most: int) -> str:
    """Return the text of a file that has so many bytes at most.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger, or not in UTF-8.
    """
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content.decode("utf-8")
