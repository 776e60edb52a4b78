"""What is restored is, bit by bit, what was saved; a checkpoint that cannot give that is put aside, kept and named."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from moec.runtime import session
from moec.runtime.checkpoints import CheckpointWriter, committed_steps, open_checkpoints, read_manifest
from moec.runtime.failure import RunError
from moec.runtime.manifest import DamagedError, Manifest, Position
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.recovery import newest_position, quarantine, recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import Layout, TrainState, initial_state, lay_out, named_arrays

# A read that fails closes orbax's event loop while tensorstore's threads are still under way; one that comes back
# before moec.runtime.failed_reads is asked finds it closed, in whatever test runs then.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*Event loop is closed:pytest.PytestUnraisableExceptionWarning",
)

Records = Callable[[Path], list[dict[str, Any]]]
Trainer = Callable[..., int]
Bits = dict[str, np.ndarray]

IDENTITY = "sha256:0123456789abcdef"
SMALL_FILE_BYTES = 16 * 1024


@pytest.fixture(scope="module")
def layout(tiny: Program) -> Layout:
    return lay_out(tiny, make_mesh(tiny.mesh))


def bits_of(state: TrainState) -> Bits:
    return {name: np.asarray(array) for name, array in named_arrays(state).items()}


def same_bits(left: Bits, right: Bits) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


@pytest.fixture(scope="module")
def saved(tiny: Program, layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Bits]]:
    """A folder with the checkpoints of steps 1 and 2, not to be changed, and what they hold."""
    folder = tmp_path_factory.mktemp("saved")
    state = initial_state(tiny, layout)
    later = replace(state, params=jax.tree.map(lambda leaf: leaf * 1.5, state.params))
    with open_checkpoints(RunDirectory(folder), keep=2) as writer:
        for step, found in ((1, state), (2, later)):
            writer.save(Position(IDENTITY, step, seed=0, seconds=0.5, corpus="sha256:text"), found)
    return folder, {1: bits_of(state), 2: bits_of(later)}


@pytest.fixture
def copy(saved: tuple[Path, dict[int, Bits]], tmp_path: Path) -> RunDirectory:
    shutil.copytree(saved[0] / "checkpoints", tmp_path / "checkpoints")
    return RunDirectory(tmp_path)


def files_of(directory: RunDirectory, step: int) -> list[Path]:
    return sorted(path for path in (directory.checkpoints / str(step)).rglob("*") if path.is_file())


def flip_a_bit(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def put_back(directory: RunDirectory, saved: Path) -> None:
    """The step 2 of `saved` in the place of whatever the last damage left."""
    shutil.rmtree(directory.quarantined, ignore_errors=True)
    shutil.rmtree(directory.checkpoints / "2", ignore_errors=True)
    shutil.copytree(saved / "checkpoints" / "2", directory.checkpoints / "2")


def step_that_is_right(directory: RunDirectory, layout: Layout, bits: dict[int, Bits]) -> int:
    """The step that is recovered, which holds what was saved, 1 only where 2 is in quarantine."""
    told: list[str] = []
    found = recover(directory, (IDENTITY,), layout.abstract, quarantine(directory, told.append))
    assert found is not None
    step = found.position.step
    assert same_bits(bits_of(found.tree), bits[step])
    assert committed_steps(directory) == ((2, 1) if step == 2 else (1,))
    assert (directory.quarantined / "2").exists() == (step == 1)
    assert [text for text in told if "the checkpoint of step 2 is damaged" in text] == told
    assert len(told) == 2 - step
    return step


def test_a_flipped_bit_anywhere_is_never_restored(
    saved: tuple[Path, dict[int, Bits]], copy: RunDirectory, layout: Layout
) -> None:
    folder, bits = saved
    caught = {}
    for index, path in enumerate(files_of(copy, 2)):
        put_back(copy, folder)
        if path.stat().st_size > 0:
            flip_a_bit(path, (path.stat().st_size * (2 * index + 1) // 23) % path.stat().st_size)
            caught[path.relative_to(copy.checkpoints / "2")] = step_that_is_right(copy, layout, bits) == 1
    assert any(found for path, found in caught.items() if "d" in path.parts)
    assert caught[Path("manifest/metadata")]


def test_a_flipped_bit_in_the_numbers_themselves_is_named(
    saved: tuple[Path, dict[int, Bits]], copy: RunDirectory, layout: Layout
) -> None:
    largest = max(files_of(copy, 2), key=lambda path: path.stat().st_size)
    for part in (0.3, 0.5, 0.7):
        put_back(copy, saved[0])
        flip_a_bit(largest, int(part * largest.stat().st_size))
        assert step_that_is_right(copy, layout, saved[1]) == 1


def test_one_changed_number_is_found_although_every_file_is_well_formed(
    saved: tuple[Path, dict[int, Bits]], tiny: Program, layout: Layout, tmp_path: Path
) -> None:
    """As a fault in memory on the way to the disk would leave it."""
    directory = RunDirectory(tmp_path)
    state = initial_state(tiny, layout)
    head = state.params["w_head"]
    changed = replace(state, params=jax.tree.map(lambda leaf: leaf, state.params))
    changed.params["w_head"] = head.replace(head.get_value().at[7, 3].multiply(1 + 2.0**-20))
    with open_checkpoints(directory, keep=2) as writer:
        writer.save(Position(IDENTITY, 1, seed=0, seconds=0.5, corpus="sha256:text"), state)
        writer.save(Position(IDENTITY, 2, seed=0, seconds=0.5, corpus="sha256:text"), changed)
    first, second = (read_manifest(directory, step) for step in (1, 2))
    mixed = Manifest(second.position, first.arrays).sealed()
    (tmp_path / "checkpoints/2/manifest/metadata").write_text(json.dumps(mixed))
    told: list[str] = []
    recover(directory, (IDENTITY,), layout.abstract, quarantine(directory, told.append))
    assert "params.w_head differ from what was saved" in told[0]


@pytest.mark.parametrize("damage", ["cut in half", pytest.param("emptied", marks=pytest.mark.slow), "deleted"])
def test_a_file_that_is_cut_emptied_or_deleted_is_never_restored(
    damage: str, saved: tuple[Path, dict[int, Bits]], copy: RunDirectory, layout: Layout
) -> None:
    folder, bits = saved
    caught = 0
    for path in files_of(copy, 2):
        put_back(copy, folder)
        if damage == "deleted":
            path.unlink()
        else:
            os.truncate(path, path.stat().st_size // 2 if damage == "cut in half" else 0)
        caught += step_that_is_right(copy, layout, bits) == 1
    assert caught >= 2


def test_a_step_without_its_manifest_is_not_the_newest_one(copy: RunDirectory) -> None:
    (copy.checkpoints / "2" / "manifest" / "metadata").unlink()
    position = newest_position(copy, (IDENTITY,))
    assert position is not None
    assert position.step == 1


def test_a_step_under_another_number_is_damaged(copy: RunDirectory) -> None:
    (copy.checkpoints / "2").rename(copy.checkpoints / "3")
    with pytest.raises(DamagedError, match="it is that of step 2"):
        read_manifest(copy, 3)


def test_quarantine_keeps_every_damaged_step_apart(copy: RunDirectory) -> None:
    assert copy.quarantine(2) == copy.quarantined / "2"
    shutil.copytree(copy.checkpoints / "1", copy.checkpoints / "2")
    assert copy.quarantine(2) == copy.quarantined / "2-2"


def test_without_a_good_step_nothing_is_begun_silently(copy: RunDirectory, layout: Layout) -> None:
    for step in (1, 2):
        (copy.checkpoints / str(step) / "manifest" / "metadata").write_text("{}")
    for _ in range(2):
        with pytest.raises(RunError, match=r"no good checkpoint is left .* --resume never"):
            recover(copy, (IDENTITY,), layout.abstract, quarantine(copy, lambda text: None))
    assert sorted(path.name for path in copy.quarantined.iterdir()) == ["1", "2"]


def test_a_run_goes_on_from_the_step_before_and_loses_nothing_but_time(
    tiny: Program,
    trained: Path,
    train_in: Trainer,
    records: Records,
    without_times: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "result.json").unlink()
    directory = RunDirectory(tmp_path)
    flip_a_bit(max(files_of(directory, 6), key=lambda path: path.stat().st_size), 3000)
    assert train_in(tiny, tmp_path, 6) == 0
    said = capsys.readouterr().out
    assert "the checkpoint of step 6 is damaged: " in said
    assert f"it is now in {tmp_path / 'quarantined' / '6'}" in said
    assert "resumed from step 4" in said
    expected, found = (without_times(records(folder / "metrics.jsonl")) for folder in (trained, tmp_path))
    assert found == expected


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a full disk, what grows beyond `size` bytes cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_finds_no_room_is_told_at_the_next_step_and_is_not_the_newest(
    tiny: Program,
    train_in: Trainer,
    records: Records,
    without_times: Callable[..., Any],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = CheckpointWriter.save

    def save(writer: CheckpointWriter, position: Position, state: TrainState) -> None:
        if position.step != 4:
            return original(writer, position, state)
        writer.advice()  # waits for the end of the save before
        with files_no_larger_than(SMALL_FILE_BYTES):
            original(writer, position, state)
            while writer._store.is_saving_in_progress():
                time.sleep(0.01)
        return None

    monkeypatch.setattr(session.CheckpointWriter, "save", save)
    with pytest.raises(RunError, match=r"a checkpoint could not be written .* that of step 2; make room") as caught:
        train_in(tiny, tmp_path, 6)
    assert caught.value.exit_code == 1
    assert [record["step"] for record in records(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    assert committed_steps(RunDirectory(tmp_path)) == (2,)
    monkeypatch.undo()
    assert train_in(tiny, tmp_path, 6) == 0
    expected, found = (without_times(records(folder / "metrics.jsonl")) for folder in (trained, tmp_path))
    assert found == expected


def test_a_manifest_is_json(copy: RunDirectory) -> None:
    manifest = json.loads((copy.checkpoints / "2" / "manifest" / "metadata").read_text())
    assert manifest["position"]["step"] == 2
    assert manifest["arrays"]["params.w_embed"]["shape"] == [256, 32]
