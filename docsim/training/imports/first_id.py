"""Changes the ids of a tokenizer so that 0 is free for padding, as docsim's towers need.

Every tower ignores id 0. In BERT's vocabularies it belongs to ``[PAD]``, in RoBERTa's to ``<s>``, and either may stand
in a text, where the original model reads it. So whatever token has id 0 gets a new one, above all others, and so does
its vector.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from docsim.errors import TrainingError
from docsim.training.towers.layers import PADDING_ID

__all__ = ["first_id_freed", "highest_id", "lowercased", "unknown_id"]

_FILLER = "\ufdd0\ufdd1\ufdd2"  # characters that no text has; takes the place of id 0 where ids are places in a list
_MOST_FILLED = 1_000_000
_UNKNOWN = ("[UNK]", "<unk>")


def highest_id(tokenizer: Tokenizer) -> int:
    """Return the highest id of a tokenizer's tokens."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)


def first_id_freed(tokenizer: Tokenizer, new: int) -> Tokenizer:
    """Return a tokenizer that gives the id ``new`` to the token that had id 0, and else the same ids.

    Args:
        tokenizer: Any tokenizer.
        new: An id above all others.

    Raises:
        TrainingError: The tokenizer gives out its ids in another way.
    """
    content = json.loads(tokenizer.to_str())
    before = tokenizer.get_vocab(with_added_tokens=True)
    _move(content, [token for token, id in before.items() if id == PADDING_ID], new)
    try:
        made = Tokenizer.from_str(json.dumps(content))
        after = made.get_vocab(with_added_tokens=True)
    except Exception as error:  # the library has no error type of its own
        raise TrainingError(f"expected a tokenizer whose ids can be changed; this one cannot be: {error}") from error
    expected = {token: id or new for token, id in before.items()}
    if {token: id for token, id in after.items() if not token.startswith(_FILLER)} != expected:
        raise TrainingError(
            "expected a tokenizer whose token with id 0 can get another id; this one's ids would change"
        )
    return made


def lowercased(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that puts a text in lower case before it does anything else."""
    content = json.loads(tokenizer.to_str())
    parts = [{"type": "Lowercase"}, *([content["normalizer"]] if content["normalizer"] else [])]
    content["normalizer"] = {"type": "Sequence", "normalizers": parts}
    return Tokenizer.from_str(json.dumps(content))


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id that stands for unknown words; None if there is none."""
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    for token in (model.get("unk_token"), *_UNKNOWN):
        found = tokenizer.token_to_id(token) if token else None
        if found is not None:
            return int(found)
    return None


def _move(content: dict[str, Any], tokens: list[str], new: int) -> None:
    """Change id 0 into ``new`` in the vocabulary, the added tokens and the special tokens around a text."""
    model = content["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary.update(dict.fromkeys(tokens, new))
    elif vocabulary:
        token, score = vocabulary[0]
        vocabulary[0] = [_FILLER, score]
        if new > _MOST_FILLED + 2 * len(vocabulary):
            raise TrainingError(
                f"expected about as many vectors as tokens; there are {new:,} vectors for {len(vocabulary):,} tokens"
            )
        # Ids are places in the list. Those between the last token and the new id are filled, too.
        vocabulary += [[f"{_FILLER}{place}", score] for place in range(len(vocabulary), new)]
        vocabulary.append([token, score])
        if model.get("unk_id") == PADDING_ID:
            model["unk_id"] = new
    for added in content["added_tokens"]:
        if added["id"] == PADDING_ID:
            added["id"] = new
    _move_special(content["post_processor"], new)


def _move_special(processor: Any, new: int) -> None:
    if isinstance(processor, list):
        for one in processor:
            _move_special(one, new)
    elif isinstance(processor, dict):
        for key in ("cls", "sep"):  # of BertProcessing and RobertaProcessing: [token, id]
            if isinstance(processor.get(key), list) and processor[key][1] == PADDING_ID:
                processor[key][1] = new
        special = processor.get("special_tokens")
        for one in special.values() if isinstance(special, dict) else ():
            one["ids"] = [id or new for id in one["ids"]]
        _move_special(processor.get("processors"), new)
