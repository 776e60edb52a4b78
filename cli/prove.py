"""`moec prove`: the program compiled by its target's XLA compiler, without the hardware.

Each run is compiled into a folder, and its `program.py prove` does the work; this file starts several at once and
gathers what they say.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moec.cli.command import DIAGNOSED, OK, Command
from moec.cli.specs import add_run, add_spec, read_plans

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.plan import Plan

PROOF, PROOF_TEXT = "proof.json", "proof.md"
PROOF_TITLE = "# Proof"


class Job(NamedTuple):
    """One proof: the run's folder, what to call it, and the folder that gets the proof. `target` "" is the own one."""

    title: str
    program: Path
    out: Path
    arguments: tuple[str, ...]


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument(
        "--target",
        metavar="CHIP:SHAPE",
        action="append",
        default=[],
        dest="targets",
        help="tpu_v5p:8x8x8, h100:8, cpu:8, …; may be given several times (default: the hardware of the run's mesh)",
    )
    parser.add_argument("--slices", type=_positive, default=1, metavar="N", help="of a TPU target (default: 1)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--save-hlo", metavar="DIR", help="the folder that gets the compiler's text")
    parser.add_argument("--timeout", type=_positive, default=3600, metavar="SECONDS", help="per proof (default: 3600)")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="so many proofs at once (default: 1)")
    parser.add_argument(
        "-o", "--out", metavar="DIR", help="keep the compiled runs and their proofs in DIR, one folder per run"
    )


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _run(arguments: Namespace) -> int:
    plans = read_plans(arguments.spec, arguments.run)
    if arguments.out:
        return prove_plans(plans, Path(arguments.out), arguments)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="moec-prove-") as folder:
        return prove_plans(plans, Path(folder), arguments)


def prove_plans(plans: tuple[Plan, ...], folder: Path, arguments: Namespace) -> int:
    """Proves every plan for every target and prints the proofs in order. Gives the worst exit status."""
    from moec.cli.compile import write_run
    from moec.cli.program import execute, execute_all

    jobs: list[Job] = []
    for plan in plans:
        write_run(plan, folder / plan.run.name)
        jobs += _jobs(plan.run.name, folder, arguments)
    if len(jobs) == 1:
        statuses: tuple[int, ...] = (execute(jobs[0].program, jobs[0].arguments),)
    else:
        commands = tuple((job.program, job.arguments) for job in jobs)
        statuses = execute_all(
            commands, arguments.jobs, lambda index, out, err: _tell(jobs[index], out, err, arguments)
        )
        if arguments.format == "json":
            print(json.dumps([_read_proof(job) for job in jobs if (job.out / PROOF).is_file()], indent=2))
    for job in jobs:
        _mention_in_plan(job)
    return _worst(statuses)


def _jobs(run: str, folder: Path, arguments: Namespace) -> list[Job]:
    targets = arguments.targets or [""]
    jobs = []
    for target in targets:
        out = folder / run if len(targets) == 1 else folder / run / "proofs" / target.replace(":", "_")
        out.mkdir(parents=True, exist_ok=True)
        options: list[str] = ["--target", target] if target else []
        options += ["--save-hlo", str(Path(arguments.save_hlo) / run)] if arguments.save_hlo else []
        options += ["--slices", str(arguments.slices), "--format", arguments.format]
        options += ["--timeout", str(arguments.timeout), "--out", str(out)]
        title = f"{run} for {target}" if target else run
        jobs.append(Job(title, folder / run / "program.py", out, ("prove", *options)))
    return jobs


def _tell(job: Job, out: str, err: str, arguments: Namespace) -> None:
    """Prints one of several proofs as soon as it is there; as JSON they are printed together at the end."""
    if arguments.format == "text":
        print(f"\n== {job.title}\n{out}", end="", flush=True)
    if err:
        print(f"{job.title}: {err}", end="", file=sys.stderr, flush=True)


def _read_proof(job: Job) -> dict[str, object]:
    return {"run": job.program.parent.name, **json.loads((job.out / PROOF).read_text(encoding="utf-8"))}


def _mention_in_plan(job: Job) -> None:
    """The proof as the last section of the run's plan.md, in the place of an earlier one."""
    from moec.cli.files import write_whole

    proof, plan = job.out / PROOF_TEXT, job.program.parent / "plan.md"
    if not proof.is_file() or job.out != job.program.parent:
        return
    text = plan.read_text(encoding="utf-8").partition(f"\n#{PROOF_TITLE}")[0].rstrip("\n")
    write_whole(plan, f"{text}\n\n#{proof.read_text(encoding='utf-8')}")


def _worst(statuses: tuple[int, ...]) -> int:
    """0 where all are; a misuse or a signal before a failed proof."""
    failed = [status for status in statuses if status != OK]
    return next((status for status in failed if status not in (DIAGNOSED, OK)), DIAGNOSED if failed else OK)


COMMAND = Command(
    "prove",
    "compile the program with its target's XLA compiler, without the hardware",
    (
        "moec prove tiny.moe --run baseline",
        "moec prove pod.moe --target tpu_v5p:8x8x8",
        "moec prove tiny.moe --target cpu:8 --format json",
        "moec prove pod.moe --target tpu_v5p:4x4x4 --target tpu_v6e:8x8 --jobs 2 -o out",
    ),
    _add_arguments,
    _run,
)
