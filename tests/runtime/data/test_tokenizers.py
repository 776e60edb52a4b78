"""Bytes, `tokenizers` files and SentencePiece models."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from moec.runtime.data.errors import DataError
from moec.runtime.data.text import TextData, tokenizer_of
from moec.runtime.data.tokenizers import open_tokenizer

SENTENCES = [
    "the cat sat on the mat",
    "a dog ran over the hill",
    "grüße aus dem süden",
    "seven quick birds sing by noon",
] * 20


def write_bpe(path: Path, special_tokens: list[str]) -> None:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.save(str(path))


def write_sentencepiece(path: Path, eos_id: int) -> None:
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES),
            model_writer=file,
            vocab_size=35,
            eos_id=eos_id,
            byte_fallback=False,
            minloglevel=2,
        )


@pytest.fixture
def bpe(tmp_path: Path) -> str:
    write_bpe(tmp_path / "bpe.json", ["<|endoftext|>"])
    return str(tmp_path / "bpe.json")


@pytest.fixture
def sentencepiece_model(tmp_path: Path) -> str:
    write_sentencepiece(tmp_path / "sp.model", eos_id=2)
    return str(tmp_path / "sp.model")


def test_bytes_are_the_utf_8_of_the_text_and_come_back() -> None:
    tokenizer = open_tokenizer("bytes", 256)
    ids = tokenizer.encode("aé")
    assert ids.tolist() == [0x61, 0xC3, 0xA9]
    assert ids.dtype == np.int32
    assert tokenizer.decode(ids) == "aé"
    assert tokenizer.end_of_document == 0


def test_bytes_that_are_no_text_and_ids_that_are_no_bytes_show_as_replacement_characters() -> None:
    assert open_tokenizer("bytes", 512).decode([0x61, 0xFF, 300, 0x62]) == "a��b"


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused_with_the_size_that_it_needs() -> None:
    with pytest.raises(DataError, match=r"has 256 token ids and the model's vocab_size is 255.*at least 256"):
        open_tokenizer("bytes", 255)


def test_a_tokenizers_file_encodes_and_decodes_and_knows_its_end(bpe: str) -> None:
    tokenizer = open_tokenizer(bpe, 300)
    ids = tokenizer.encode("the cat aus süden")
    assert tokenizer.decode(ids) == "the cat aus süden"
    assert len(ids) < len("the cat aus süden".encode())
    assert tokenizer.end_of_document == 0
    assert ids.max() < tokenizer.vocab_size <= 300


def test_a_special_token_written_out_in_a_text_does_not_end_the_document(bpe: str) -> None:
    tokenizer = open_tokenizer(bpe, 300)
    assert tokenizer.end_of_document not in tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.decode(tokenizer.encode("a<|endoftext|>b")) == "a<|endoftext|>b"


def test_a_tokenizers_file_without_an_end_is_refused(tmp_path: Path) -> None:
    write_bpe(tmp_path / "bpe.json", ["<pad>"])
    with pytest.raises(DataError, match=r"has no token that ends a document\. Add one of: <\|endoftext\|>"):
        open_tokenizer(str(tmp_path / "bpe.json"), 300)


def test_a_sentencepiece_model_encodes_and_decodes_and_knows_its_end(sentencepiece_model: str) -> None:
    tokenizer = open_tokenizer(sentencepiece_model, 35)
    ids = tokenizer.encode("the cat sat on the hill")
    assert tokenizer.decode(ids) == "the cat sat on the hill"
    assert tokenizer.end_of_document == 2
    assert tokenizer.vocab_size == 35


def test_a_sentencepiece_model_without_an_end_is_refused(tmp_path: Path) -> None:
    write_sentencepiece(tmp_path / "sp.model", eos_id=-1)
    with pytest.raises(DataError, match="has no end-of-sentence piece"):
        open_tokenizer(str(tmp_path / "sp.model"), 35)


@pytest.mark.parametrize("kind", ["bytes", "bpe", "sentencepiece_model"])
def test_many_texts_at_once_encode_as_one_by_one(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = open_tokenizer("bytes" if kind == "bytes" else request.getfixturevalue(kind), 300)
    for text, ids in zip(SENTENCES, tokenizer.encode_many(SENTENCES), strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode(text))


def test_the_identity_follows_the_content_and_not_the_path(bpe: str, tmp_path: Path) -> None:
    (tmp_path / "copy.json").write_bytes(Path(bpe).read_bytes())
    write_bpe(tmp_path / "other.json", ["</s>"])
    same, other = (open_tokenizer(str(tmp_path / name), 300).identity for name in ("copy.json", "other.json"))
    assert open_tokenizer(bpe, 300).identity == same != other


@pytest.mark.parametrize("name", ["junk.json", "junk.model"])
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff junk")
    with pytest.raises(DataError, match=name.replace(".", r"\.") + " is not a"):
        open_tokenizer(str(tmp_path / name), 300)


def test_a_name_that_is_no_tokenizer_and_a_file_that_is_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="'characters' is not known"):
        open_tokenizer("characters", 300)
    with pytest.raises(DataError, match=r"'none\.json' cannot be read from /"):
        open_tokenizer("none.json", 300)


@pytest.mark.parametrize(("kind", "library"), [("bpe", "tokenizers"), ("sentencepiece_model", "sentencepiece")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    kind: str, library: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = request.getfixturevalue(kind)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataError, match=rf'needs the library {library}\. Run: pip install "moec\[tokenizers\]"'):
        open_tokenizer(name, 300)


def test_the_tokenizer_of_a_programs_data_checks_the_vocabulary() -> None:
    data = TextData(("python_stdlib",), (1.0,), "auto", "text", "bytes", 100, 0.1, "documents", 0)
    with pytest.raises(DataError, match="at least 256"):
        tokenizer_of(data)
