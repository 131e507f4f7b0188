"""Static embeddings of model2vec and sentence-transformers: one vector a token, as an ``average`` tower.

    model2vec               "model_type": "model2vec" in config.json; tensors ``embeddings`` and perhaps ``weights``
                            (one a token) and ``mapping`` (the row of each token); unknown tokens are left out
    sentence-transformers   a module ``StaticEmbedding``; tensor ``embedding.weight``; unknown tokens count

Both take the mean of a text's token vectors, which has the direction of the sum that the tower computes.
"""

from __future__ import annotations

import json

import numpy as np
from tokenizers import Tokenizer

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.training.imports.first_id import first_id_freed, highest_id, lowercased, unknown_id
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory
from docsim.training.imports.tensors import Tensors, check_size
from docsim.training.towers.average import MAX_TOKENS, average_tower
from docsim.training.towers.bert import Floats
from docsim.training.towers.layers import PADDING_ID
from docsim.training.towers.saving import EncoderParts

__all__ = ["is_static", "static_parts"]

_UNKNOWN_SHARE = 1e-6  # of a usual vector: small enough to matter only in texts without known tokens


def is_static(model: ModelDirectory) -> bool:
    """Return whether a directory holds static embeddings."""
    return model.modules[0].kind == "StaticEmbedding" or _is_model2vec(model)


def static_parts(model: ModelDirectory) -> EncoderParts:
    """Return the parts of an encoder that computes the same as static embeddings.

    Raises:
        TrainingError: A file is missing or damaged, or does not fit another.
    """
    tokenizer = model.tokenizer()
    vectors = _model2vec(model, tokenizer) if _is_model2vec(model) else _static_embedding(model)
    if highest_id(tokenizer) >= len(vectors):
        raise TrainingError(
            f"expected a vector for each token of the tokenizer at {model.path}, ids up to {highest_id(tokenizer)}; "
            f"there are {len(vectors)}"
        )
    new = len(vectors)
    vectors = np.concatenate([vectors, vectors[:1]])
    tokenizer = first_id_freed(lowercased(tokenizer) if model.lowers_case() else tokenizer, new)
    unknown = unknown_id(tokenizer)
    return EncoderParts(
        tower=average_tower(vectors),
        tokenizer=tokenizer,
        preprocessing=Preprocessing(
            PADDING_ID, new if unknown is None else unknown, special_tokens=False, by_word=_splits_at_blanks(tokenizer)
        ),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def _is_model2vec(model: ModelDirectory) -> bool:
    return model.optional("config.json").get("model_type") == "model2vec"


def _static_embedding(model: ModelDirectory) -> Floats:
    others = [module.kind for module in model.modules[1:] if module.kind != "Normalize"]
    if others:
        raise TrainingError(
            f"expected a static model at {model.path} with no other module than Normalize; its modules.json has "
            f"{', '.join(others)}"
        )
    with Tensors(model.core / WEIGHTS_FILE) as tensors:
        return tensors.get("embedding.weight", (None, None))


def _model2vec(model: ModelDirectory, tokenizer: Tokenizer) -> Floats:
    """Return each token's vector times its weight; the vectors of unknown tokens all but vanish."""
    with Tensors(model.core / WEIGHTS_FILE) as tensors:
        vectors = tensors.get("embeddings", (None, None))
        if "mapping" in tensors:
            rows = tensors.get("mapping", (None,)).astype(np.int64)
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(vectors):
                raise TrainingError(f"expected rows from 0 to {len(vectors) - 1} in the mapping of {model.path}")
            check_size(f"the vectors that the mapping of {model.path} names", len(rows), vectors.shape[1])
            vectors = vectors[rows]
        if "weights" in tensors:
            vectors = vectors * tensors.get("weights", (len(vectors),))[:, None]
    unknown = unknown_id(tokenizer)
    if unknown is not None and unknown < len(vectors):
        usual = np.linalg.norm(vectors, axis=1).mean()
        own = vectors[unknown] if vectors[unknown].any() else vectors.mean(axis=0)
        vectors[unknown] = own / max(float(np.linalg.norm(own)), 1e-12) * usual * _UNKNOWN_SHARE
    return vectors


def _splits_at_blanks(tokenizer: Tokenizer) -> bool:
    """Return whether the tokens of a text are those of its words: so BERT's tokenizers work."""
    content = json.loads(tokenizer.to_str())
    normalizer, splitter = (content[part] or {"type": None} for part in ("normalizer", "pre_tokenizer"))
    return splitter["type"] == "BertPreTokenizer" and normalizer["type"] in (None, "BertNormalizer")
