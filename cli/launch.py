"""`moec launch`: what Slurm and Kubernetes need to train a spec, and several processes on this machine.

moec schedules nothing itself. It divides the mesh among machines, writes what an existing engine takes, and leaves the
meeting of the processes to JAX.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moec.cli import compile as compile_command
from moec.cli.command import OK, Command, Failure
from moec.cli.launching.options import ONLY_FOR, add_kubernetes, add_slurm
from moec.cli.run import changed_files, positive, refuse_without_data, spec_name, with_restarts
from moec.cli.specs import add_run, add_spec, choose_runs, make_plans, resolve_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.cli.launching.job import Job
    from moec.compiler.plan import Plan

ENGINES = ("slurm", "kubernetes", "local")
RESTARTS_ON_A_CLUSTER = 3
ONLY_ON_CLUSTERS = ("name", "python", "nodes", "per_node", "cpus")


class Engine(NamedTuple):
    """Where to train: `kind` is one of ENGINES, `processes` how many of them `local` starts, 0 elsewhere."""

    kind: str
    processes: int


def _engine(text: str) -> Engine:
    """What `--on` says."""
    kind, colon, count = text.partition(":")
    if kind == "local":
        if not count.isascii() or not count.isdecimal() or int(count) == 0:
            raise argparse.ArgumentTypeError(f"{text!r} needs a number of processes, as in local:2")
        return Engine(kind, int(count))
    if kind not in ENGINES or colon:
        raise argparse.ArgumentTypeError(f"{text!r} is none of slurm, kubernetes and local:N")
    return Engine(kind, 0)


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    parser.add_argument(
        "--on", required=True, type=_engine, metavar="slurm | kubernetes | local:N", help="where to train the runs"
    )
    add_run(parser)
    _add_training(parser)
    parser.add_argument("-o", "--out", metavar="DIR", help="gets one folder per run (default: runs/SPEC's name)")
    parser.add_argument(
        "--print", action="store_true", dest="only_print", help="show what would be written or started; do neither"
    )
    _add_machines(parser)
    add_slurm(parser)
    add_kubernetes(parser)


def _add_training(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], dest="options", help="as for `moec run`"
    )
    parser.add_argument("--steps", metavar="N", type=positive, help="stop after N steps in all, also on resume")
    parser.add_argument("--resume", choices=("auto", "never", "must"), default="auto", help="default: auto")
    parser.add_argument("--accept-changes", action="store_true", help="as for `moec run`")
    parser.add_argument(
        "--restart",
        metavar="N",
        type=_count,
        help=f"start again after a failure, at most N times (default: {RESTARTS_ON_A_CLUSTER}; local: 0)",
    )


def _add_machines(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("slurm and kubernetes")
    group.add_argument("--name", metavar="NAME", help="what the job is called (default: SPEC-RUN)")
    group.add_argument("--python", metavar="PATH", help="default: this one; kubernetes: the image's python3")
    group.add_argument("--nodes", metavar="N", type=positive, help="machines (default: as few as will do)")
    group.add_argument(
        "--per-node", metavar="N", type=positive, help="devices in a machine (default: what the hardware usually has)"
    )
    group.add_argument("--cpus", metavar="N", type=positive, help="CPU cores for each process (default: the engine's)")
    group.add_argument(
        "--grace",
        metavar="SECONDS",
        type=positive,
        default=120,
        help="from the warning to the end, for saving (default: %(default)s)",
    )


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _run(arguments: Namespace) -> int:
    engine: Engine = arguments.on
    _refuse_misplaced(arguments, engine)
    files = changed_files(arguments)
    runs = choose_runs(resolve_files(files), arguments.run)
    if arguments.name is not None and len(runs) > 1:
        raise Failure(f"--name is for one run; choose it with --run ({', '.join(run.name for run in runs)})")
    refuse_without_data(runs)
    out = Path(arguments.out) if arguments.out else Path("runs") / spec_name(arguments.spec)
    for plan in make_plans(runs, files.sources):
        status = _launch(plan, out / plan.run.name, engine, arguments)
        if status != OK:
            return status
    return OK


def _refuse_misplaced(arguments: Namespace, engine: Engine) -> None:
    """Failure: an option that the engine has no use for."""
    given = {name for name, value in vars(arguments).items() if value is not None}
    for kind, names in ONLY_FOR.items():
        wrong = [name for name in names if name in given and kind != engine.kind]
        if wrong:
            raise Failure(f"--{wrong[0].replace('_', '-')} is for --on {kind}, not for {engine.kind}")
    wrong = [name for name in ONLY_ON_CLUSTERS if name in given and engine.kind == "local"]
    if wrong:
        raise Failure(f"--{wrong[0].replace('_', '-')} is for clusters: local:N is one machine")
    if arguments.resume == "never" and engine.kind != "local":
        raise Failure(
            "a job that is started again must find its own checkpoints: on a cluster --resume never would put them "
            "aside each time; give another --name or -o to begin afresh"
        )


def _launch(plan: Plan, folder: Path, engine: Engine, arguments: Namespace) -> int:
    """Compiles the run, writes what its engine needs, and for `local` trains."""
    if engine.kind == "local":
        return _train_here(plan, folder, engine.processes, arguments)
    if engine.kind == "slurm":
        return _write_script(plan, folder, arguments)
    return _write_manifest(plan, folder, arguments)


def _write_script(plan: Plan, folder: Path, arguments: Namespace) -> int:
    from moec.cli.launching import slurm

    job = _job(plan, folder, arguments, _accepted(plan, folder, arguments))
    script = slurm.script(job, slurm.options_of(arguments, Path.cwd()))
    return _write(plan, job, slurm.SCRIPT, script, "sbatch", arguments)


def _write_manifest(plan: Plan, folder: Path, arguments: Namespace) -> int:
    from moec.cli.launching import kubernetes
    from moec.compiler.artifacts import compile_run

    if arguments.accept_changes:
        raise Failure("--accept-changes compares with the newest checkpoint, and a claim cannot be read from here")
    job = _job(plan, folder, arguments, None)
    manifest = kubernetes.manifest(job, kubernetes.options_of(arguments), compile_run(plan).program)
    return _write(plan, job, kubernetes.MANIFEST, manifest, "kubectl apply -f", arguments)


def _write(plan: Plan, job: Job, name: str, text: str, command: str, arguments: Namespace) -> int:
    if arguments.only_print:
        print(text, end="")
        return OK
    files = compile_command.write_run(plan, job.folder)
    job.logs.mkdir(exist_ok=True)  # Slurm makes no folders
    compile_command.report((*files, compile_command.write_file(job.folder / name, text)))
    print(f"next: {command} {job.folder / name}")
    return OK


def _train_here(plan: Plan, folder: Path, processes: int, arguments: Namespace) -> int:
    from moec.cli.launching import local

    job = _job(plan, folder, arguments, _accepted(plan, folder, arguments))
    parts = local.commands(job, processes, local.free_port())
    if arguments.only_print:
        print("\n".join(local.described(part) for part in parts))
        return OK
    print(f"run {plan.run.name} in {processes} processes\nfolder: {folder}", flush=True)
    compile_command.report(compile_command.write_run(plan, folder))

    def train(resume: str) -> int:
        return local.train_together(local.commands(replace(job, resume=resume), processes, local.free_port()))

    return with_restarts(train, arguments.resume, job.restarts)


def _accepted(plan: Plan, folder: Path, arguments: Namespace) -> str | None:
    """The identity of an earlier spec that the run goes on from, which is kept where anything is written."""
    from moec.cli.resumption import accepted_identity, keep_earlier

    if arguments.resume == "never":
        return None
    accepted = accepted_identity(plan, folder, arguments.accept_changes)
    if accepted is not None and not arguments.only_print:
        keep_earlier(folder, accepted)
    return accepted


def _job(plan: Plan, folder: Path, arguments: Namespace, accepted: str | None) -> Job:
    from moec.cli.launching.job import Job

    engine: Engine = arguments.on
    on_cluster = RESTARTS_ON_A_CLUSTER if engine.kind != "local" else 0
    steps = () if arguments.steps is None else ("--steps", str(arguments.steps))
    accept = () if accepted is None else ("--accept", accepted)
    return Job(
        name=_name(plan, arguments),
        run=plan.run.name,
        mesh=plan.run.mesh,
        folder=folder,
        resume=arguments.resume,
        options=(*steps, *accept),
        restarts=on_cluster if arguments.restart is None else arguments.restart,
        grace_seconds=arguments.grace,
    )


def _name(plan: Plan, arguments: Namespace) -> str:
    """What the engine calls the job. Failure: a name that Kubernetes does not take."""
    from moec.cli.launching.kubernetes import dns_name

    name = arguments.name or f"{spec_name(arguments.spec)}-{plan.run.name}"
    if arguments.on.kind != "kubernetes":
        return name
    if arguments.name is not None and dns_name(name) != name:
        raise Failure(f"Kubernetes does not take the name {name!r}; {dns_name(name)!r} would do")
    return dns_name(name)


COMMAND = Command(
    "launch",
    "train on Slurm, on Kubernetes, or in several processes here",
    (
        "moec launch tiny.moe --on local:2 --run baseline",
        "moec launch pod.moe --on slurm --partition gpu --time 24:00:00",
        "moec launch pod.moe --on slurm --nodes 4 --setup 'module load cuda' --print",
        "moec launch pod.moe --on kubernetes --image IMAGE --claim runs --restart 20",
    ),
    _add_arguments,
    _run,
)
