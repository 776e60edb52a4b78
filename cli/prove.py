"""`moec prove`: the program compiled by its target's XLA compiler, without the hardware."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure
from moec.cli.specs import add_run, add_spec, read_plans

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.plan import Plan

PROVABLE = "cpu"


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument(
        "--target", metavar="NAME", help="the chip to compile for (default: the hardware of the run's mesh)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _run(arguments: Namespace) -> int:
    if arguments.format == "json":
        raise Failure("a proof is printed as text only in this version; its JSON comes with the other targets")
    plans = read_plans(arguments.spec, arguments.run)
    for plan in plans:
        _refuse_other_targets(plan, arguments.target)
    for plan in plans:
        status = _prove(plan)
        if status != OK:
            return status
    return OK


def _refuse_other_targets(plan: Plan, target: str | None) -> None:
    hardware = plan.run.mesh.hardware
    if target is None and hardware.platform == PROVABLE:
        return
    if target in (PROVABLE, hardware.name) and hardware.platform == PROVABLE:
        return
    raise Failure(
        f"the run `{plan.run.name}` would be proven for {target or hardware.name}; this version proves programs for "
        f"`hardware = {PROVABLE}` only. The compilers of TPUs and NVIDIA GPUs are not connected yet"
    )


def _prove(plan: Plan) -> int:
    from moec.cli.compile import PROGRAM, write_run
    from moec.cli.program import execute

    with tempfile.TemporaryDirectory(prefix="moec-prove-") as folder:
        write_run(plan, Path(folder))
        return execute(Path(folder) / PROGRAM, ("prove",))


COMMAND = Command(
    "prove",
    "compile the program with its target's XLA compiler, without the hardware",
    ("moec prove tiny.moe --run baseline", "moec prove tiny.moe --target cpu"),
    _add_arguments,
    _run,
)
