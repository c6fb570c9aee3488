"""The peers' environment and the models they load: the shipped ones, in folders that say what a peer needs to know.

It knows nothing of what is timed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from szqa.embedder import SHIPPED_MODEL

__all__ = ["make_environment", "write_models"]

_REQUIREMENTS = Path(__file__).parent / "requirements.txt"
# Positions of a reader in these libraries' own default models; this reader takes up to 1,024.
_READER_TOKENS = 512


def make_environment(folder: Path) -> Path:
    """Make the peers' environment where it is not there as the requirements have it; its Python."""
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = _REQUIREMENTS.read_text("utf-8")
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(_REQUIREMENTS)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_text(wanted, "utf-8")
    return python.absolute()


def write_models(folder: Path) -> None:
    """Copy the shipped embedder and reader for libraries that know nothing of szqa.

    The embedder's tokens are words, characters and bigrams, which szqa cuts before; its tokenizer alone would take a
    clause for a word. Here it cuts a text into characters, as BERT's Chinese tokenizers do: same weights, same size.
    The reader's type ids are features of the match between question and passage; peers leave them 0, or 1 for the
    passage, so their answers are poorer than szqa's and are not compared. It is stored in half precision, which a CPU
    computes slowly, and is loaded in single precision.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SHIPPED_MODEL, folder / "embedder")
    shutil.copytree(SHIPPED_MODEL.parent / "reader", folder / "reader")
    character = {"type": "Split", "pattern": {"Regex": r"\S"}, "behavior": "Isolated", "invert": False}
    _change(folder / "embedder" / "tokenizer.json", {"pre_tokenizer": character})
    _change(folder / "reader" / "config.json", {"dtype": "float32"})
    _change(folder / "reader" / "tokenizer_config.json", {"model_max_length": _READER_TOKENS})


def _change(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}, ensure_ascii=False), "utf-8")
