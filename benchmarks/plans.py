"""The plans and programs of a spec file, for the benchmarks that hold a plan against what really happens."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.resolve import resolve
from moec.runtime.program import Program
from moec.spec.hardware import Hardware
from moec.spec.loader import load
from moec.spec.reader import read


def plans_of(spec: Path, hardware: Hardware | None = None) -> dict[str, Plan]:
    """The plan of each run by its name; `hardware` takes the place of what the spec names.

    Errors: SystemExit where a run has none, with what is said about it.
    """
    loaded, wrong = load(str(spec))
    if loaded is None:
        raise SystemExit("\n".join(diagnostic.message for diagnostic in wrong))
    plans = {}
    for run in resolve(read(loaded)[0])[0].runs:
        on = run if hardware is None else replace(run, mesh=replace(run.mesh, hardware=hardware))
        plan, told = plan_run(on)
        if plan is None:
            raise SystemExit(f"{run.name}: " + "\n".join(diagnostic.message for diagnostic in told))
        plans[run.name] = plan
    return plans


def write_program(plan: Plan, folder: Path) -> Path:
    """program.py and plan.json in `folder`, as `moec compile` writes them; gives the path of the program."""
    artifacts = compile_run(plan)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(artifacts.plan_json, encoding="utf-8")
    program = folder / "program.py"
    program.write_text(artifacts.program, encoding="utf-8")
    return program


def program_of(plan: Plan, folder: Path) -> Program:
    """The program of `plan`, written to `folder` and read from there."""
    program: Program = runpy.run_path(str(write_program(plan, folder)))["PROGRAM"]
    return program
