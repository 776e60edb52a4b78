"""Checkpoints name their arrays, hold what was saved, and never hold what is not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.checkpoints import committed_steps, open_checkpoints
from moec.runtime.failure import RunError
from moec.runtime.manifest import Position
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.recovery import newest_position, recover
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import Layout, TrainState, from_named_arrays, initial_state, lay_out, named_arrays

IDENTITY = "sha256:0123456789abcdef"


@pytest.fixture(scope="module")
def layout(tiny: Program) -> Layout:
    return lay_out(tiny, make_mesh(tiny.mesh))


@pytest.fixture(scope="module")
def state(tiny: Program, layout: Layout) -> TrainState:
    return initial_state(tiny, layout)


def position(step: int) -> Position:
    return Position(identity=IDENTITY, step=step, seed=0, seconds=1.5, corpus="sha256:text")


def fail(step: int, reason: str) -> None:
    pytest.fail(f"step {step}: {reason}")


def test_arrays_are_named_by_where_they_are(state: TrainState) -> None:
    names = named_arrays(state)
    assert "params.blocks.0.experts.w_up" in names
    assert "untrained.blocks.0.experts.router_bias" in names
    assert "optimizer.1.0.mu.w_embed" in names
    assert len(names) == len(jax.tree.leaves(state))


def test_named_arrays_make_the_state_again(state: TrainState) -> None:
    again = from_named_arrays(state, named_arrays(state))
    assert jax.tree.structure(again) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, again, state)


def test_what_was_saved_comes_back_with_its_position(state: TrainState, layout: Layout, tmp_path: Path) -> None:
    with open_checkpoints(RunDirectory(tmp_path), keep=3) as folder:
        folder.save(position(5), state)
    found = recover(RunDirectory(tmp_path), (IDENTITY,), layout.abstract, fail)
    assert found is not None
    assert found.position == position(5)
    jax.tree.map(np.testing.assert_array_equal, found.tree, state)


def test_weights_come_back_without_the_optimizer(
    state: TrainState, on_mesh: Callable[..., Program], tmp_path: Path
) -> None:
    wide_program = on_mesh(fsdp=4, model=2)
    wide = lay_out(wide_program, make_mesh(wide_program.mesh))
    with open_checkpoints(RunDirectory(tmp_path), keep=3) as folder:
        folder.save(position(1), state)
    found = recover(RunDirectory(tmp_path), (IDENTITY,), wide.abstract.weights, fail)
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found.tree), state.weights)
    assert jax.tree.map(lambda leaf: leaf.sharding, found.tree) == wide.shardings.weights


def test_only_the_newest_stay(state: TrainState, tmp_path: Path) -> None:
    with open_checkpoints(RunDirectory(tmp_path), keep=2) as folder:
        for step in (1, 2, 3):
            folder.save(position(step), state)
    assert committed_steps(RunDirectory(tmp_path)) == (3, 2)


def test_an_empty_folder_has_no_position(tmp_path: Path) -> None:
    assert newest_position(RunDirectory(tmp_path), (IDENTITY,)) is None


def test_weights_that_are_not_finite_are_not_saved(state: TrainState, tmp_path: Path) -> None:
    broken = replace(state, params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params))
    with open_checkpoints(RunDirectory(tmp_path), keep=2) as folder:
        folder.save(position(1), state)
        with pytest.raises(RunError, match=r"not finite after step 2; the newest good checkpoint .* step 1"):
            folder.save(position(2), broken)
    assert newest_position(RunDirectory(tmp_path), (IDENTITY,)) == position(1)


def test_a_save_that_did_not_end_is_not_seen(state: TrainState, tmp_path: Path) -> None:
    with open_checkpoints(RunDirectory(tmp_path), keep=2) as folder:
        folder.save(position(1), state)
        folder.save(position(2), state)
    (tmp_path / "checkpoints" / "2").rename(tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-1")
    assert newest_position(RunDirectory(tmp_path), (IDENTITY,)) == position(1)


def test_another_programs_checkpoint_is_named(state: TrainState, tmp_path: Path) -> None:
    with open_checkpoints(RunDirectory(tmp_path), keep=2) as folder:
        folder.save(position(1), state)
    with pytest.raises(RunError, match="sha256:other"):
        newest_position(RunDirectory(tmp_path), ("sha256:other",))


def test_a_program_with_other_arrays_is_told_so_and_the_checkpoint_stays(
    state: TrainState, layout: Layout, tmp_path: Path
) -> None:
    with open_checkpoints(RunDirectory(tmp_path), keep=2) as folder:
        folder.save(position(1), state)
    wider = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leaf.shape, 1), leaf.dtype), layout.abstract)
    with pytest.raises(RunError, match=r"does not fit this program: params\.\S+ is float32\[32, 8, 8, 1\], saved is"):
        recover(RunDirectory(tmp_path), (IDENTITY,), wider, fail)
    assert committed_steps(RunDirectory(tmp_path)) == (1,)
