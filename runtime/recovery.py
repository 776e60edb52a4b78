"""The newest checkpoint of a run that is, bit by bit, what was saved; those that are not are put into quarantine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from moec.runtime.checkpoints import check_arrays, committed_steps, read_arrays, read_manifest
from moec.runtime.failure import RunError
from moec.runtime.manifest import DamagedError, Position
from moec.runtime.processes import all_agree, is_first_process, wait_for_all
from moec.runtime.run_directory import RunDirectory
from moec.runtime.state import Tree

Value = TypeVar("Value")

OnDamage = Callable[[int, str], None]
"""Gets a step and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Recovered(Generic[Tree]):
    """Where a run stood, and its arrays then."""

    position: Position
    tree: Tree


def quarantine(directory: RunDirectory, tell: Callable[[str], None]) -> OnDamage:
    """What training does with a damaged step: moves it out of the way, keeps it, and says so."""

    def put_aside(step: int, reason: str) -> None:
        if is_first_process():
            target = directory.quarantine(step)
            tell(f"warning: the checkpoint of step {step} is damaged: {reason}; it is now in {target}")
        wait_for_all(f"step {step} is in quarantine")

    return put_aside


def recover(
    directory: RunDirectory, identities: tuple[str, ...], abstract: Tree, on_damage: OnDamage
) -> Recovered[Tree] | None:
    """The newest step whose arrays match their checksums, laid out as `abstract` says; None where nothing was saved.

    All processes of a run call it together and come to the same step.
    Errors: RunError where a step is of another program or does not fit it, or where not one step is good.
    """
    steps = committed_steps(directory)
    for step in steps:
        try:
            return _recovered(directory, step, identities, abstract)
        except DamagedError as damage:
            on_damage(step, str(damage))
    if steps or directory.quarantined.exists():
        raise RunError(f"no good checkpoint is left in {directory.root}; use train --resume never to start afresh")
    return None


def newest_position(directory: RunDirectory, identities: tuple[str, ...]) -> Position | None:
    """The position of the newest step that can say one; its arrays are not looked at.

    Errors: RunError where it is of a program with none of these identities.
    """
    for step in committed_steps(directory):
        try:
            position = read_manifest(directory, step).position
        except DamagedError:  # `recover` tells of it
            continue
        check_identity(position, identities, directory)
        return position
    return None


def check_identity(position: Position, identities: tuple[str, ...], directory: RunDirectory) -> None:
    """Errors: RunError where the checkpoint is of a program with another identity than these, its own first."""
    if position.identity not in identities:
        raise RunError(
            f"{directory.root} holds step {position.step} of another program: {position.identity}, this one is "
            f"{identities[0]}; use train --resume never to put that run aside and start afresh, --out with another "
            f"folder, or --accept {position.identity} to go on from there all the same",
            2,
        )


def _recovered(directory: RunDirectory, step: int, identities: tuple[str, ...], abstract: Tree) -> Recovered[Tree]:
    """Errors: DamagedError, in every process, where any of them finds damage."""
    manifest = _together(lambda: read_manifest(directory, step))
    check_identity(manifest.position, identities, directory)
    tree = _together(lambda: read_arrays(directory, manifest, abstract))
    check_arrays(manifest, tree)
    return Recovered(manifest.position, tree)


def _together(read: Callable[[], Value]) -> Value:
    """What `read` gives. Errors: DamagedError, in every process, where it raises that in one of them."""
    try:
        value = read()
    except DamagedError:
        all_agree(False)
        raise
    if not all_agree(True):
        raise DamagedError("another process of the run finds it damaged")
    return value
