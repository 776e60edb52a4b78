"""One process writes to a run's folder, and an earlier run is put aside, not deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moec.runtime.failure import RunError
from moec.runtime.run_directory import RunDirectory, own


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    with (
        own(directory),
        pytest.raises(RunError, match=f"is being written by process {os.getpid()} on .*--out"),
        own(directory),
    ):
        pass


def test_the_folder_is_free_again_after_its_owner(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with own(directory):
        pass
    with own(directory):
        assert directory.lock.read_text().startswith(f"process {os.getpid()}")


def test_earlier_runs_are_put_aside_one_by_one(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for content in ("first", "second"):
        directory.metrics.write_text(content)
        directory.checkpoints.mkdir()
        directory.set_aside()
        assert not directory.has_products()
    assert (tmp_path / "previous" / "1" / "metrics.jsonl").read_text() == "first"
    assert (tmp_path / "previous" / "2" / "metrics.jsonl").read_text() == "second"
    assert (tmp_path / "previous" / "2" / "checkpoints").is_dir()
