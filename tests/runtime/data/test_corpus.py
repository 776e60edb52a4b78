"""From sources to token streams, in memory and in files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from moec.runtime.data import corpus as corpus_module
from moec.runtime.data.corpus import SourceCorpus, open_corpus
from moec.runtime.data.errors import DataError
from moec.runtime.data.text import TextData, corpus_facts

MakeData = Callable[..., TextData]


def texts_of(tokens: np.ndarray, starts: np.ndarray) -> list[str]:
    return [bytes(tokens[a + 1 : b]).decode() for a, b in pairwise(starts)]


def assert_same(one: SourceCorpus, other: SourceCorpus) -> None:
    for a, b in ((one.train, other.train), (one.held_out, other.held_out)):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.starts, b.starts)
    assert one.fingerprint == other.fingerprint


def test_every_document_is_in_exactly_one_part_whole_and_between_ends(text_data: MakeData, corpus_glob: str) -> None:
    (source,) = open_corpus(text_data())
    train = texts_of(source.train.tokens, source.train.starts)
    held_out = texts_of(source.held_out.tokens, source.held_out.starts)
    assert sorted(train + held_out) == sorted(path.read_text() for path in Path(corpus_glob).parent.iterdir())
    assert set(train).isdisjoint(held_out)
    assert train
    assert held_out
    assert (source.train.tokens[source.train.starts] == 0).all()


def test_a_token_takes_as_few_bytes_as_the_tokenizer_needs(text_data: MakeData) -> None:
    (source,) = open_corpus(text_data(vocab_size=50_000))
    assert source.train.tokens.dtype == np.uint8


def test_mapped_files_hold_the_same_as_memory_and_are_written_once(
    text_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = open_corpus(text_data())[0]
    mapped = open_corpus(text_data(), tmp_path / "cache", 0)[0]
    assert isinstance(mapped.train.tokens, np.memmap)
    assert_same(in_memory, mapped)
    assert [folder.name for folder in (tmp_path / "cache").iterdir()] == [mapped.fingerprint.removeprefix("sha256:")]

    open_corpus.cache_clear()
    monkeypatch.setattr(corpus_module, "document_hashes", lambda documents: pytest.fail("read the documents again"))
    assert_same(in_memory, open_corpus(text_data(), tmp_path / "cache", 0)[0])


def test_a_failure_while_tokenising_leaves_no_folder(text_data: MakeData, tmp_path: Path, corpus_glob: str) -> None:
    (Path(corpus_glob).parent / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"bad\.txt is not UTF-8"):
        open_corpus(text_data(), tmp_path / "cache", 0)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_another_process_finished_first_is_kept(text_data: MakeData, tmp_path: Path) -> None:
    mapped = open_corpus(text_data(), tmp_path / "cache", 0)[0]
    folder = tmp_path / "cache" / mapped.fingerprint.removeprefix("sha256:")
    (tmp_path / "mine").mkdir()
    corpus_module._move_into_place(tmp_path / "mine", folder)
    assert (folder / "train.tokens").exists()


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_named_and_may_be_deleted(text_data: MakeData, tmp_path: Path, damage: str) -> None:
    mapped = open_corpus(text_data(), tmp_path / "cache", 0)[0]
    folder = tmp_path / "cache" / mapped.fingerprint.removeprefix("sha256:")
    tokens = folder / "train.tokens"
    content = tokens.read_bytes()
    tokens.unlink()
    if damage == "cut":
        tokens.write_bytes(content[:-3])
    open_corpus.cache_clear()
    with pytest.raises(DataError, match=r"Delete the folder: it is made again"):
        open_corpus(text_data(), tmp_path / "cache", 0)
    shutil.rmtree(folder)
    assert_same(mapped, open_corpus(text_data(), tmp_path / "cache", 0)[0])


def test_the_fingerprint_follows_content_and_settings_but_no_path(
    text_data: MakeData, corpus_glob: str, tmp_path: Path
) -> None:
    fingerprint = corpus_facts(text_data()).fingerprint
    moved = tmp_path / "moved"
    shutil.copytree(Path(corpus_glob).parent, moved)
    assert corpus_facts(text_data(sources=(f"{moved}/*.txt",))).fingerprint == fingerprint
    assert corpus_facts(text_data(split=0.3)).fingerprint != fingerprint
    (moved / "00.txt").write_text("changed")
    assert corpus_facts(text_data(sources=(f"{moved}/*.tx?",))).fingerprint != fingerprint


def test_the_facts_count_documents_and_tokens_of_all_sources(text_data: MakeData, corpus_glob: str) -> None:
    facts = corpus_facts(text_data(sources=(corpus_glob, corpus_glob), mixture=(1.0, 1.0)))
    sizes = [len(path.read_bytes()) for path in Path(corpus_glob).parent.iterdir()]
    assert facts.train_documents + facts.held_out_documents == 2 * len(sizes)
    assert facts.train_tokens + facts.held_out_tokens == 2 * (sum(sizes) + len(sizes))


def test_a_source_of_empty_files_is_refused(tmp_path: Path, text_data: MakeData) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"has no text: all its 2 files are empty"):
        open_corpus(text_data(sources=(f"{tmp_path}/*.txt",)))


def test_files_that_change_between_the_two_passes_are_noticed(
    text_data: MakeData, corpus_glob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty_one_after(hashes: np.ndarray, split: float) -> np.ndarray:
        (Path(corpus_glob).parent / "05.txt").write_text("")
        return np.zeros(hashes.shape, bool)

    monkeypatch.setattr(corpus_module, "held_out_mask", empty_one_after)
    with pytest.raises(DataError, match="changed while they were read"):
        open_corpus(text_data())
