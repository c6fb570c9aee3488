"""Train the shipped static embedder: contrastive, with the other passages of a batch as negatives.

It uses sentence-transformers' trainer and losses; it knows nothing of passages, indexes or fusion.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from szqa.embedder import tokenise_for_embedding
from szqa.text import Segmenter, split_sentences
from szqa.training.pairs import TextPair, data_files, read_pairs

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import TrainerCallback

__all__ = ["EmbedderSettings", "train_embedder"]

UNKNOWN = "[UNK]"


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """What the training depends on besides the data.

    Attributes:
        dimension: length of a vector.
        vocabulary: most tokens kept.
        epochs: passes over the pairs.
        batch_size: pairs in one step; every other passage of the batch is a negative.
        learning_rate: of Adam, on weights whose rows have the length of their token's IDF.
        scale: inverse temperature of the softmax over cosines.
        token_dropout: share of each text's tokens left out at each step, so that no single one is relied on.
    """

    dimension: int = 384
    vocabulary: int = 32_000
    epochs: float = 1
    batch_size: int = 256
    learning_rate: float = 0.01
    scale: float = 20.0
    token_dropout: float = 0.3


class TokenBags:
    """Texts as bags of token ids, cut once and looked up at every step.

    Args:
        segmenter: cuts texts into words.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._sentences: dict[str, list[str]] = {}
        self._bags: dict[str, NDArray[np.int64]] = {}

    def tokens(self, text: str) -> list[str]:
        """Tokens of a text, each once; sentences that several texts share are cut once."""
        found: dict[str, None] = {}
        for start, end in split_sentences(text):
            sentence = text[start:end]
            if sentence not in self._sentences:
                self._sentences[sentence] = tokenise_for_embedding(self._segmenter, sentence)
            found.update(dict.fromkeys(self._sentences[sentence]))
        return list(found)

    def fill(self, texts: Iterable[str], vocabulary: dict[str, int]) -> None:
        """Make the bag of known token ids of each text."""
        for text in texts:
            ids = [vocabulary[token] for token in self.tokens(text) if token in vocabulary]
            self._bags[text] = np.array(ids, dtype=np.int64)

    def collate(self, texts: Sequence[str], dropout: float) -> dict[str, torch.Tensor]:
        """Look up texts as the flat input of an embedding bag, ``dropout`` of the tokens left out."""
        import torch

        bags = [self._bags[text] for text in texts]
        if dropout > 0:
            bags = [bag[torch.rand(len(bag)).numpy() >= dropout] for bag in bags]
        offsets = np.cumsum([0, *(len(bag) for bag in bags[:-1])])
        return {"input_ids": torch.from_numpy(np.concatenate(bags)), "offsets": torch.from_numpy(offsets)}


def choose_vocabulary(bags: Iterable[Sequence[str]], size: int) -> dict[str, float]:
    """Choose the tokens that stand in most texts, at least in three.

    Args:
        bags: the tokens of each text, each once.
        size: most tokens chosen.

    Returns:
        Token → inverse document frequency ln(N / df), most frequent first.
    """
    count, frequency = 0, Counter[str]()
    for bag in bags:
        count += 1
        frequency.update(bag)
    chosen = [(token, df) for token, df in frequency.most_common(size) if df >= 3]
    return {token: math.log(count / df) for token, df in chosen}


def train_embedder(
    data_dir: Path,
    output_dir: Path,
    *,
    report: Callable[[str], None],
    seed: int = 0,
    settings: EmbedderSettings | None = None,
    limit: int | None = None,
) -> Path:
    """Train the static embedder and write it in sentence-transformers' layout.

    Checkpoints are kept in a folder inside ``output_dir`` until the end, named after seed, settings and data; a run
    that was interrupted goes on from its own last one. The same seed, data and settings give the same weights on
    the same machine.

    Args:
        data_dir: folder with ``pairs/`` and ``text/``.
        output_dir: where the model goes.
        report: told of each stage and of the loss.
        seed: of everything random.
        settings: sizes and rates.
        limit: most rows taken of any one file, for a trial run.

    Returns:
        ``output_dir``.

    Raises:
        ConfigurationError: a data file is missing.
    """
    settings = settings or EmbedderSettings()
    started = time.monotonic()
    pairs = read_pairs(data_dir, seed=seed, limit=limit)
    passages = list(dict.fromkeys(pair.passage for pair in pairs))
    report(f"读取 {len(pairs)} 对文本，{len(passages)} 个段落 (pairs and passages read)")
    bags = TokenBags(Segmenter())
    idf = choose_vocabulary(map(bags.tokens, passages), settings.vocabulary)
    report(f"词表 {len(idf)} 项 (tokens in the vocabulary)")
    module = _new_module(idf, settings.dimension, seed)
    bags.fill({text for pair in pairs for text in (pair.query, pair.passage)}, module.tokenizer.get_vocab())
    hashes = {path.relative_to(data_dir).as_posix(): _sha256(path) for path in data_files(data_dir)}
    run = hashlib.sha256(json.dumps([asdict(settings), seed, limit, hashes]).encode()).hexdigest()
    checkpoints = output_dir / f"checkpoints-{run[:12]}"
    steps, loss = _fit(module, _dataset(pairs), bags, checkpoints, settings=settings, seed=seed, report=report)
    save_quantised(module, output_dir)
    shutil.rmtree(checkpoints)
    _write_record(
        output_dir,
        hashes,
        settings=settings,
        seed=seed,
        limit=limit,
        figures={"pairs": len(pairs), "steps": steps, "loss": loss, "seconds": round(time.monotonic() - started)},
    )
    return output_dir


def _dataset(pairs: Sequence[TextPair]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({"query": [pair.query for pair in pairs], "passage": [pair.passage for pair in pairs]})


def _new_module(idf: dict[str, float], dimension: int, seed: int) -> StaticEmbedding:
    """An embedding whose rows have random directions and, for length, the token's IDF."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    vocabulary = {token: row for row, token in enumerate([UNKNOWN, *idf])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    weights = np.random.default_rng(seed).standard_normal((len(vocabulary), dimension)) / math.sqrt(dimension)
    weights *= np.array([0.0, *idf.values()])[:, None]
    return StaticEmbedding(tokenizer, embedding_weights=weights.astype(np.float32))


def _fit(
    module: StaticEmbedding,
    dataset: Dataset,
    bags: TokenBags,
    checkpoints: Path,
    *,
    settings: EmbedderSettings,
    seed: int,
    report: Callable[[str], None],
) -> tuple[int, float]:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Normalize
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers
    from transformers import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint

    def preprocess(texts: list[str], prompt: str | None = None, task: str | None = None) -> dict[str, torch.Tensor]:
        return bags.collate(texts, settings.token_dropout)

    model = SentenceTransformer(modules=[module, Normalize()])
    checkpoints.mkdir(parents=True, exist_ok=True)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.05,
        batch_sampler=BatchSamplers.NO_DUPLICATES_HASHED,
        logging_steps=25,
        save_steps=100,
        save_total_limit=1,
        seed=seed,
        data_seed=seed,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=MultipleNegativesRankingLoss(model, scale=settings.scale),
        data_collator=SentenceTransformerDataCollator(preprocess_fn=preprocess),
        callbacks=[_reporter(report)],
    )
    trainer.remove_callback(PrinterCallback)
    result = trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)))  # type: ignore[no-untyped-call]
    return result.global_step, result.training_loss


def _reporter(report: Callable[[str], None]) -> TrainerCallback:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Reporter(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_log(
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            logs: dict[str, float] | None = None,
            **_: object,
        ) -> None:
            if logs and "loss" in logs:
                report(f"第 {state.global_step}/{state.max_steps} 步，损失 {float(logs['loss']):.4f} (step, loss)")

    return Reporter()


def save_quantised(module: StaticEmbedding, output_dir: Path) -> None:
    """Write a static embedding as int8 rows with a float32 scale each, which StaticEmbedding reads as it is.

    The tensors are named as in model2vec's folders ("embeddings", "weights"), the layout in which
    sentence-transformers multiplies the rows by their scales when loading. The largest rounding error of a row is
    1/254 of its largest element. The row of unknown tokens is zero.
    """
    from safetensors.numpy import save_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize

    rows = module.embedding.weight.detach().cpu().numpy().astype(np.float32)
    rows[module.tokenizer.token_to_id(UNKNOWN)] = 0
    largest = np.abs(rows).max(axis=1)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    SentenceTransformer(modules=[module, Normalize()], device="cpu").save(str(output_dir), create_model_card=False)
    quantised = np.round(rows / scales[:, None]).astype(np.int8)
    path = output_dir / "model.safetensors"
    save_file({"embeddings": quantised, "weights": scales}, path, metadata={"format": "np"})
    path.chmod(0o644)  # safetensors makes it private to its owner


def _write_record(
    output_dir: Path,
    hashes: dict[str, str],
    *,
    settings: EmbedderSettings,
    seed: int,
    limit: int | None,
    figures: dict[str, float],
) -> None:
    """Write ``training.json``: all that is needed to make the model again and to see that it is the same."""
    record = {
        "command": f"szqa train embedder --seed {seed}" + (f" --limit {limit}" if limit is not None else ""),
        "seed": seed,
        "settings": asdict(settings),
        **figures,
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "weights_sha256": _sha256(output_dir / "model.safetensors"),
        "data_sha256": hashes,
    }
    (output_dir / "training.json").write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
