"""A run goes on with the text that it began with, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moec.runtime.data import corpus
from moec.runtime.data.text import corpus_facts
from moec.runtime.failure import RunError
from moec.runtime.program import Program
from moec.runtime.run_directory import RunDirectory

Trainer = Callable[..., int]


def reading(program: Program, folder: Path) -> Program:
    assert program.data is not None
    return replace(program, data=replace(program.data, sources=(f"{folder}/*.txt",)))


def test_another_text_is_refused_with_both_fingerprints_and_the_ways_out(
    tiny: Program, text_folder: Path, train_in: Trainer, tmp_path: Path
) -> None:
    shutil.copytree(text_folder / "text", tmp_path / "changed")
    with (tmp_path / "changed" / "07.txt").open("a") as file:
        file.write(".")
    here, changed = reading(tiny, text_folder / "text"), reading(tiny, tmp_path / "changed")
    assert train_in(here, tmp_path / "run", 1) == 0
    with pytest.raises(RunError, match=r"no longer what it was trained on up to step 1: .* --resume never") as caught:
        train_in(changed, tmp_path / "run", 2)
    assert caught.value.exit_code == 2
    for program in (here, changed):
        assert program.data is not None
        assert corpus_facts(program.data, cache_dir=RunDirectory(tmp_path / "run").tokens).fingerprint in str(
            caught.value
        )


def test_the_same_text_elsewhere_is_the_same_text(
    tiny: Program, text_folder: Path, train_in: Trainer, tmp_path: Path
) -> None:
    shutil.copytree(text_folder / "text", tmp_path / "moved")
    assert train_in(reading(tiny, text_folder / "text"), tmp_path / "run", 1) == 0
    assert train_in(reading(tiny, tmp_path / "moved"), tmp_path / "run", 2) == 0


def test_a_large_text_is_tokenised_into_the_folder_of_the_run(
    tiny: Program, text_folder: Path, train_in: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = corpus.open_corpus
    monkeypatch.setattr("moec.runtime.data.text.open_corpus", lambda data, cache_dir: original(data, cache_dir, 1))
    assert train_in(reading(tiny, text_folder / "text"), tmp_path, 1) == 0
    (folder,) = (tmp_path / "tokens").iterdir()
    assert (folder / "train.tokens").stat().st_size > 0
    assert train_in(tiny, tmp_path, 1, "never") == 0
    assert folder.exists()
