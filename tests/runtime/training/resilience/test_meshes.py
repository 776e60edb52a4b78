"""A checkpoint is restored bit by bit on every mesh, and is that of its step however fast the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from moec.runtime import session
from moec.runtime.checkpoints import CheckpointWriter, committed_steps, open_checkpoints, read_arrays, read_manifest
from moec.runtime.checksums import checksums
from moec.runtime.manifest import Position
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Checkpoints, Program
from moec.runtime.recovery import recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import TrainState, initial_state, lay_out, named_arrays

MESHES = ({"fsdp": 8}, {"fsdp": 2, "expert": 4}, {"data": 2, "fsdp": 2, "expert": 2}, {"model": 2, "fsdp": 2}, {})


def copied(state: TrainState) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in named_arrays(state).items()}


def test_from_eight_devices_over_other_meshes_to_one_nothing_changes(
    on_mesh: Callable[..., Program], tmp_path: Path
) -> None:
    expected: dict[str, np.ndarray] = {}
    for number, axes in enumerate(MESHES, start=1):
        program = on_mesh(**axes)
        layout = lay_out(program, make_mesh(program.mesh))
        if not expected:
            state = initial_state(program, layout)
            expected = copied(state)
        else:
            found = recover(RunDirectory(tmp_path), ("sha256:a",), layout.abstract, lambda _, why: pytest.fail(why))
            assert found is not None
            state = found.tree
        assert jax.tree.map(lambda leaf: leaf.sharding, state) == layout.shardings
        for name, array in named_arrays(state).items():
            np.testing.assert_array_equal(np.asarray(array), expected[name], err_msg=name, strict=True)
        with open_checkpoints(RunDirectory(tmp_path), keep=1) as writer:
            writer.save(Position("sha256:a", number, seed=0, seconds=0.0, corpus="sha256:text"), state)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_a_checksum_is_that_of_the_numbers_not_of_their_places(dtype: str, on_mesh: Callable[..., Program]) -> None:
    numbers = jnp.asarray(np.random.default_rng(1).integers(0, 100, (8, 6, 4)), dtype)
    alone = checksums({"x": numbers})["x"]
    mesh = make_mesh(on_mesh(fsdp=2, expert=4).mesh)
    for spec in (P(), P("expert"), P(("fsdp", "expert"), None), P(None, "fsdp", "expert")):
        assert checksums({"x": jax.device_put(numbers, NamedSharding(mesh, spec))})["x"] == alone
    assert checksums({"x": numbers.at[7, 5, 3].add(1)})["x"] != alone
    assert checksums({"x": numbers[::-1]})["x"] != alone


def test_what_is_saved_is_the_state_of_its_step_although_its_memory_is_taken_over(
    tiny: Program, train_in: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, states = CheckpointWriter.save, dict[int, dict[str, np.ndarray]]()

    def save(writer: CheckpointWriter, position: Position, state: TrainState) -> None:
        states[position.step] = copied(state)
        original(writer, position, state)

    monkeypatch.setattr(session.CheckpointWriter, "save", save)
    program = replace(tiny, checkpoints=Checkpoints(every_steps=1, keep=12))
    assert train_in(program, tmp_path, 12) == 0
    directory, layout = RunDirectory(tmp_path), lay_out(program, make_mesh(program.mesh))
    assert committed_steps(directory) == tuple(range(12, 0, -1))
    for step, expected in states.items():
        found = read_arrays(directory, read_manifest(directory, step), layout.abstract)
        for name, array in named_arrays(found).items():
            np.testing.assert_array_equal(np.asarray(array), expected[name], err_msg=f"{name} at {step}")
