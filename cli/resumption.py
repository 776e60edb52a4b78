"""Whether a run may go on from what is in its folder, now that the spec may have changed.

Checkpoints name the hash of the resolved spec that they were made with. The folder keeps that spec, and the one before
it, so that a difference can be shown field by field and by what it means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, Failure
from moec.cli.diff import pair_lines
from moec.cli.specs import read_files, resolve_files

if TYPE_CHECKING:
    from moec.compiler.plan import Plan
    from moec.compiler.typed import RunSpec

RESOLVED, EARLIER = "resolved.moe", "resolved.earlier.moe"


def accepted_identity(plan: Plan, folder: Path, accept_changes: bool) -> str | None:
    """The identity of another spec whose checkpoint in `folder` is gone on from; None where there is none to accept.

    Failure: the checkpoint is of a spec that differs, and `accept_changes` does not say so or it does not fit.
    """
    from moec.compiler.artifacts import identity_of
    from moec.compiler.difference import differences
    from moec.compiler.expand import expand_run

    saved = saved_identity(folder)
    if saved is None or saved == identity_of(expand_run(plan.run)):
        return None
    earlier = _spec_of(saved, folder)
    changes = differences(earlier, plan.run)
    if not changes:
        print("the spec says what it said, written by another version of moec: the run goes on")
        return saved
    told = "\n".join(pair_lines(earlier, plan.run))
    if any(change.category == "checkpoint" for change in changes):
        raise Failure(
            f"{folder} holds checkpoints of another model:\n{told}\n"
            "--resume never puts that run aside and starts afresh; -o takes another folder",
            DIAGNOSED,
        )
    if not accept_changes:
        raise Failure(
            f"the spec has changed since the newest checkpoint in {folder}:\n{told}\n"
            "--accept-changes goes on from there all the same; --resume never puts that run aside and starts afresh; "
            "-o takes another folder",
            DIAGNOSED,
        )
    print(f"going on although the spec has changed:\n{told}", flush=True)
    return saved


def saved_identity(folder: Path) -> str | None:
    """The identity in the newest checkpoint that can be read, None where there is none. Nothing is executed."""
    for step in _steps(folder / "checkpoints"):
        try:
            manifest = json.loads((folder / "checkpoints" / step / "manifest" / "metadata").read_bytes())
            return str(manifest["position"]["identity"])
        except (OSError, ValueError, KeyError, TypeError):  # the program itself tells of damage, and puts it aside
            continue
    return None


def keep_earlier(folder: Path, identity: str) -> None:
    """Keeps the spec of this identity beside the one that takes its place."""
    from moec.cli.files import write_whole
    from moec.compiler.artifacts import identity_of

    text = (folder / RESOLVED).read_text(encoding="utf-8") if (folder / RESOLVED).exists() else ""
    if identity_of(text) == identity:
        write_whole(folder / EARLIER, text)


def _steps(checkpoints: Path) -> Iterator[str]:
    """The steps that are there, newest first."""
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.is_dir() else []
    yield from sorted((name for name in names if name.isascii() and name.isdecimal()), key=int, reverse=True)


def _spec_of(identity: str, folder: Path) -> RunSpec:
    from moec.compiler.artifacts import identity_of

    for path in (folder / RESOLVED, folder / EARLIER):
        if path.exists() and identity_of(path.read_text(encoding="utf-8")) == identity:
            return resolve_files(read_files(str(path))).runs[0]
    raise Failure(
        f"{folder} holds checkpoints of another spec, {identity}, which is not there any more to be compared; "
        "--resume never puts that run aside and starts afresh; -o takes another folder",
        DIAGNOSED,
    )
