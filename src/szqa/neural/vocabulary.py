"""The characters a network knows, and the tokenizer files that ``transformers`` reads them from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from szqa.errors import ConfigurationError
from szqa.text import fold

__all__ = ["Vocabulary"]

_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Vocabulary:
    """Characters and their ids.

    Args:
        characters: folded characters that have an id of their own, after the special ones.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.tokens = (*_SPECIAL_TOKENS, *characters)
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError("a character stands twice in the vocabulary")
        self.pad_id, self.unknown_id, self.cls_id, self.sep_id, self.mask_id = range(5)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, texts: Iterable[str], *, min_count: int, max_size: int) -> Vocabulary:
        """The most frequent characters of some texts, most frequent first, ties by code point."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(fold(text))
        kept = sorted((c for c, n in counts.items() if n >= min_count and c != "\n"), key=lambda c: (-counts[c], c))
        return cls(kept[: max_size - len(_SPECIAL_TOKENS)])

    @classmethod
    def load(cls, model_dir: Path) -> Vocabulary:
        """Read the vocabulary of a model folder.

        Raises:
            ConfigurationError: ``tokenizer.json`` is missing or not one of this module's.
        """
        path = model_dir / "tokenizer.json"
        try:
            ids = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
            tokens = sorted(ids, key=ids.__getitem__)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path}: 不是可用的字表，请重新下载或导出模型 "
                f"(no usable vocabulary, fetch or export the model again: {error})"
            ) from error
        if tuple(tokens[: len(_SPECIAL_TOKENS)]) != _SPECIAL_TOKENS:
            raise ConfigurationError(
                f"{path}: 字表应以 {' '.join(_SPECIAL_TOKENS)} 开头，实为 {' '.join(tokens[:5])} "
                f"(the vocabulary must begin with the special tokens)"
            )
        return cls(tokens[len(_SPECIAL_TOKENS) :])

    def save(self, model_dir: Path) -> None:
        """Write ``tokenizer.json`` and ``tokenizer_config.json``, which ``transformers`` loads as they are.

        The tokenizer there takes folded text; it does not fold by itself.
        """
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

        unknown = self.tokens[self.unknown_id]
        tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(self.tokens)}, unk_token=unknown))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", self.sep_id), ("[CLS]", self.cls_id))
        tokenizer.save(str(model_dir / "tokenizer.json"))
        names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **{f"{k}_token": v for k, v in names.items()}}
        path = model_dir / "tokenizer_config.json"
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def encode(self, folded: str) -> NDArray[np.int64]:
        """Ids of a folded text's characters."""
        unknown, ids = self.unknown_id, self._ids
        return np.array([ids.get(character, unknown) for character in folded], np.int64)
