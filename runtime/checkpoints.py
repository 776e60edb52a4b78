"""Checkpoints of a run: saved while training goes on, read back bit by bit on the same or another mesh, or refused.

What a step holds is checked against the checksums of its arrays (manifest.py), which are taken on the devices before
anything is written and are committed together with the arrays. Of arrays and not of files: so they cover the whole way
from device to disk and back, hold on every mesh, and leave no moment in which a committed step has none.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping

import jax
import orbax.checkpoint as ocp
from jax import numpy as jnp

from moec.runtime.failed_reads import hush_unfinished_reads
from moec.runtime.failure import RunError
from moec.runtime.manifest import DamagedError, Manifest, Position, changed_arrays, manifest_from, manifest_of
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import TrainState, Tree, from_named_arrays, named_arrays

ARRAYS, MANIFEST = "arrays", "manifest"

NO_DAMAGE = (PermissionError, MemoryError, jax.errors.JaxRuntimeError)
"""What can go wrong with reading and says nothing against what is read."""


class CheckpointWriter:
    """Saves into one run directory; the `keep` newest steps stay."""

    def __init__(self, directory: RunDirectory, keep: int) -> None:
        self._directory = directory
        self._failure: Exception | None = None
        self._is_saving = False
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._store = ocp.CheckpointManager(
            directory.checkpoints.resolve(), options=options, item_names=(ARRAYS, MANIFEST)
        )

    def save(self, position: Position, state: TrainState) -> None:
        """Copies the state off the devices and writes it in the background; the state may be donated once this returns.

        Errors: RunError where a weight is not finite, nothing is written then; or where the save before it failed.
        """
        if not bool(_all_finite(state.params)):
            raise RunError(f"weights are not finite after step {position.step}; {self.advice()}")
        arrays = named_arrays(state)
        items = ocp.args.Composite(
            **{ARRAYS: ocp.args.PyTreeSave(arrays), MANIFEST: ocp.args.JsonSave(manifest_of(position, arrays).sealed())}
        )
        self._do(lambda: self._store.save(position.step, args=items, force=True))
        self._is_saving = True

    def check(self) -> None:
        """Errors: RunError where a save in the background has failed; never waits for one."""
        if self._is_saving and not self._store.is_saving_in_progress():
            self._is_saving = False
            self._do(self._store.wait_until_finished)  # orbax's check_for_errors does not see what failed in the end

    def advice(self) -> str:
        """What can be gone back to when everything is on disk, as the end of a sentence."""
        with contextlib.suppress(RunError):  # a save that failed is told by `check`
            self._do(self._store.wait_until_finished)
        return newest_saved(self._directory)

    def close(self) -> None:
        """Waits for what is being written. Errors: RunError where that fails."""
        self._do(self._store.close)

    def _do(self, work: Callable[[], object]) -> None:
        """Errors: RunError where `work`, or any save before it, failed: orbax tells of a failure only once."""
        try:
            work()
        except (OSError, ValueError, RuntimeError) as error:
            self._failure = self._failure or error
        if self._failure is not None:
            raise RunError(
                f"a checkpoint could not be written to {self._directory.checkpoints}: {_short(self._failure)}; "
                f"{newest_saved(self._directory)}; make room or mend what is named, then give the same command to go "
                "on from there"
            ) from self._failure


@contextlib.contextmanager
def open_checkpoints(directory: RunDirectory, keep: int) -> Iterator[CheckpointWriter]:
    """The writer of a run's checkpoints, closed at the end of the context when everything is on disk."""
    with _orbax_quiet():
        writer = CheckpointWriter(directory, keep)
        try:
            yield writer
        except BaseException:
            with contextlib.suppress(RunError):  # what ended the run is told, not what came of it
                writer.close()
            raise
        writer.close()


@contextlib.contextmanager
def _orbax_quiet() -> Iterator[None]:
    """Inside, orbax's threads do not log the failures that come out of its functions as exceptions as well."""
    logs = [logging.getLogger(name) for name in ("absl", "asyncio")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)


def committed_steps(directory: RunDirectory) -> tuple[int, ...]:
    """The steps whose saving was completed, newest first."""
    if not directory.checkpoints.exists():
        return ()
    return tuple(sorted(ocp.utils.checkpoint_steps(directory.checkpoints.resolve()), reverse=True))


def newest_saved(directory: RunDirectory) -> str:
    """The newest committed step in words, as the end of a sentence."""
    steps = committed_steps(directory)
    if not steps:
        return f"there is no checkpoint in {directory.root} to go back to"
    return f"the newest good checkpoint in {directory.root} is that of step {steps[0]}"


def read_manifest(directory: RunDirectory, step: int) -> Manifest:
    """What the step says of itself. Errors: DamagedError."""
    path = directory.checkpoints / str(step) / MANIFEST / "metadata"
    try:
        manifest = manifest_from(json.loads(path.read_bytes()))
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedError(f"its manifest cannot be read ({_short(error)})") from error
    if manifest.position.step != step:
        raise DamagedError(f"it is that of step {manifest.position.step}")
    return manifest


def read_arrays(directory: RunDirectory, manifest: Manifest, abstract: Tree) -> Tree:
    """The arrays of a step, laid out as `abstract` (shapes with shardings) says, from whatever mesh they come.

    `abstract` is a TrainState, or Weights where the optimizer is not needed. Each process reads what its own devices
    hold and waits for no other: orbax's manager, which does wait, would hang where one of them finds damage.
    Errors: RunError where the program has other arrays, DamagedError where one is not what was saved.
    """
    wanted = named_arrays(abstract)
    _check_fit(directory, manifest, wanted)
    how = ocp.args.PyTreeRestore(
        wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted), partial_restore=True
    )
    path = directory.checkpoints.resolve() / str(manifest.position.step) / ARRAYS
    with _orbax_quiet():
        try:
            with contextlib.closing(ocp.PyTreeCheckpointHandler()) as reader:
                found: Mapping[str, jax.Array] = reader.restore(path, args=how)
        except NO_DAMAGE:
            raise
        except Exception as error:  # orbax raises this very class, and others, for files that were cut or changed
            reason = _short(error)
        else:
            return from_named_arrays(abstract, dict(found))
        hush_unfinished_reads()
    raise DamagedError(f"its arrays cannot be read ({reason})")


def check_arrays(manifest: Manifest, tree: object) -> None:
    """Errors: DamagedError naming the arrays of `tree` that are not what was saved. All processes call it together."""
    changed = changed_arrays(manifest, named_arrays(tree))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DamagedError(f"{', '.join(changed[:3])}{more} differ from what was saved")


def _check_fit(directory: RunDirectory, manifest: Manifest, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    for name, leaf in wanted.items():
        record = manifest.arrays.get(name)
        now = f"{leaf.dtype}{list(leaf.shape)}"
        if record is None or record.describe() != now:
            saved = "none" if record is None else record.describe()
            raise RunError(
                f"step {manifest.position.step} in {directory.root} does not fit this program: {name} is {now}, saved "
                f"is {saved}; the program was changed since. Undo that, use train --resume never to start afresh, or "
                "--out with another folder",
                2,
            )


def _short(error: BaseException) -> str:
    """The first line of what went wrong at the root of `error`."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0][:400] if lines else type(error).__name__


@jax.jit
def _all_finite(params: object) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))
