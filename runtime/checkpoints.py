"""Checkpoints of a run: saved while training goes on, restored bit by bit on the same or another mesh."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import jax
import orbax.checkpoint as ocp
from jax import numpy as jnp

from moec.runtime.failure import RunError
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import TrainState, Tree, from_named_arrays, named_arrays


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands after `step`: with the seed this is also its random state and its place in the data.

    `seconds` is wall-clock time spent in training steps since the run began, over all its resumptions.
    """

    identity: str
    step: int
    seed: int
    seconds: float


class CheckpointFolder:
    """The checkpoints below one run directory; `keep` newest stay."""

    def __init__(self, directory: RunDirectory, keep: int) -> None:
        self._directory = directory
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._store = ocp.CheckpointManager(
            directory.checkpoints.resolve(), options=options, item_names=("arrays", "position")
        )

    def newest(self) -> Position | None:
        """The position of the newest complete checkpoint."""
        step = self._store.latest_step()
        if step is None:
            return None
        found = self._store.restore(step, args=ocp.args.Composite(position=ocp.args.JsonRestore()))
        return Position(**found["position"])

    def save(self, position: Position, state: TrainState) -> None:
        """Copies the state off the devices and writes it in the background; the state may be donated once this returns.

        Errors: RunError where a weight is not finite; nothing is written then.
        """
        if not bool(_all_finite(state.params)):
            raise RunError(f"weights are not finite after step {position.step}; {self.advice()}")
        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(named_arrays(state)), position=ocp.args.JsonSave(asdict(position))
        )
        self._store.save(position.step, args=items, force=True)

    def restore(self, position: Position, abstract: Tree) -> Tree:
        """What was saved at `position`, laid out as `abstract` (shapes with shardings) says, from whatever mesh.

        `abstract` is a TrainState, or Weights where the optimizer is not needed.
        """
        wanted = named_arrays(abstract)
        how = ocp.args.PyTreeRestore(
            wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True
        )
        found = self._store.restore(position.step, args=ocp.args.Composite(arrays=how))
        return from_named_arrays(abstract, found["arrays"])

    def advice(self) -> str:
        """What can be gone back to, as the end of a sentence."""
        self._store.wait_until_finished()
        step = self._store.latest_step()
        if step is None:
            return f"there is no checkpoint in {self._directory.root} to go back to"
        return f"the newest good checkpoint in {self._directory.root} is that of step {step}"

    def close(self) -> None:
        """Waits for what is being written."""
        self._store.close()


@contextlib.contextmanager
def open_checkpoints(directory: RunDirectory, keep: int) -> Iterator[CheckpointFolder]:
    """The checkpoint folder, closed at the end of the context when everything is on disk."""
    folder = CheckpointFolder(directory, keep)
    try:
        yield folder
    finally:
        folder.close()


def newest_position(folder: CheckpointFolder, identity: str, where: RunDirectory) -> Position | None:
    """The position of the newest checkpoint of the program with this identity.

    Errors: RunError where the folder's checkpoints belong to another program.
    """
    found = folder.newest()
    if found is not None and found.identity != identity:
        raise RunError(
            f"{where.root} holds step {found.step} of another program: {found.identity}, this one is {identity}; "
            "use train --resume never to put that run aside and start afresh, or --out with another folder",
            2,
        )
    return found


@jax.jit
def _all_finite(params: object) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))
