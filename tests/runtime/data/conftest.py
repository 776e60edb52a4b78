"""Small corpora that the data tests share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from moec.runtime.data.text import TextData


@pytest.fixture
def corpus_glob(tmp_path: Path) -> str:
    """40 documents of 1 to 199 letters, all different."""
    letters = random.Random(7)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(40):
        length = letters.randrange(1, 200)
        text = f"{number}:" + "".join(letters.choices("abcdefgh \n", k=length))
        (folder / f"{number:02}.txt").write_text(text)
    return str(folder / "*.txt")


@pytest.fixture
def text_data(corpus_glob: str) -> Callable[..., TextData]:
    """Makes TextData over the small corpus, with some fields changed."""

    def make(**changes: object) -> TextData:
        fields: dict[str, object] = {
            "sources": (corpus_glob,),
            "mixture": (1.0,),
            "format": "auto",
            "text_field": "text",
            "tokenizer": "bytes",
            "vocab_size": 256,
            "split": 0.2,
            "packing": "documents",
            "seed": 0,
        }
        return TextData(**(fields | changes))

    return make
