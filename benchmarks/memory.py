"""Planned memory of a training step against the account of the target's own compiler, for CPUs, TPUs and GPUs.

    python benchmarks/memory.py                    the table, from benchmarks/results/memory_measured.json
    python benchmarks/memory.py --measure          compiles first what was not measured yet
    python benchmarks/memory.py --measure --again  compiles everything again

The runs of benchmarks/specs/memory.moe are compiled in processes of their own, one after the other; those whose
compiler is not installed are left out (`pip install "moec[tpu]"`, `"moec[cuda]"`). Runs called fit_… set the constants
of compiler/passes/layer_memory.py and estimate_memory.py, runs called held_… only judge them. `--only PREFIX` chooses
runs, `--results FILE` also writes the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import plans

from moec.compiler.plan import Plan
from moec.compiler.units import size
from moec.runtime.failure import RunError
from moec.runtime.program import Program
from moec.runtime.proof.prove import ProofOptions, compile_elsewhere
from moec.runtime.proof.targets import Target, own_target

FOLDER = Path(__file__).parent
SPEC = FOLDER / "specs" / "memory.moe"
MEASURED = FOLDER / "results" / "memory_measured.json"
GOAL_MEAN, GOAL_WORST = 0.05, 0.12
TIMEOUT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Account:
    """What the compiler says that a device needs: arguments, outputs that are no arguments again, temporaries."""

    target: str
    jax_version: str
    arguments: int
    outputs: int
    temporary: int
    compile_seconds: float

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporary


@dataclass(frozen=True, slots=True)
class Judged:
    """One run: bytes of a device by the plan and by the compiler."""

    name: str
    plan: Plan
    account: Account

    @property
    def error(self) -> float:
        return self.plan.memory.total / self.account.total - 1


def main() -> None:
    arguments = _arguments()
    chosen = {name: plan for name, plan in plans.plans_of(SPEC).items() if name.startswith(arguments.only)}
    accounts = read_accounts()
    if arguments.measure:
        missing = {name: plan for name, plan in chosen.items() if arguments.again or name not in accounts}
        measure(missing, accounts)
    rows = [Judged(name, plan, accounts[name]) for name, plan in chosen.items() if name in accounts]
    text = report(rows)
    print(text)
    if arguments.results:
        Path(arguments.results).write_text(heading(rows) + text + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="compile the runs that were not measured yet")
    parser.add_argument("--again", action="store_true", help="with --measure: compile all of them")
    parser.add_argument("--only", default="", metavar="PREFIX", help="runs whose names begin so (default: all)")
    parser.add_argument("--results", metavar="FILE", help="write the table as Markdown, too")
    return parser.parse_args()


def read_accounts() -> dict[str, Account]:
    """What was measured before, by run."""
    if not MEASURED.is_file():
        return {}
    stored = json.loads(MEASURED.read_text(encoding="utf-8"))
    return {name: Account(**fields) for name, fields in stored.items()}


def measure(missing: dict[str, Plan], accounts: dict[str, Account]) -> None:
    """Compiles the runs and adds what their compilers say to `accounts` and to the file, one by one."""
    for name, plan in missing.items():
        try:
            accounts[name] = account_of(plan)
        except RunError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        ordered = {key: asdict(accounts[key]) for key in sorted(accounts)}
        MEASURED.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: compiled in {accounts[name].compile_seconds:.0f} s", file=sys.stderr, flush=True)


def account_of(plan: Plan) -> Account:
    """Errors: RunError where the compiler is missing or refuses the program."""
    with tempfile.TemporaryDirectory() as folder:
        program: Program = plans.program_of(plan, Path(folder))
        target = own_target(program.mesh, plan.run.mesh.topology, plan.run.mesh.slices)
        check_compiler(target)
        options = ProofOptions(str(target), 1, "json", None, TIMEOUT_SECONDS, Path(folder))
        measured, refusal = compile_elsewhere(Path(folder) / "program.py", target, options)
    if measured is None:
        raise RunError(refusal)
    memory = measured.memory
    return Account(
        target=str(target),
        jax_version=measured.jax_version,
        arguments=memory.arguments,
        outputs=memory.outputs - memory.aliased,
        temporary=memory.temporary,
        compile_seconds=round(measured.compile_seconds, 1),
    )


def check_compiler(target: Target) -> None:
    """Errors: RunError where the target's compiler is not installed."""
    if find_spec(target.chip.module) is None:
        raise RunError(
            f'left out: the compiler of {target.chip.name} is missing, pip install "moec[{target.chip.extra}]"'
        )


def report(rows: list[Judged]) -> str:
    """The table, then the mean and worst errors of both halves."""
    lines = [
        "| run | target | model | remat, layers | planned | compiler | of it arguments | error |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        plan, account = row.plan, row.account
        layers = "scanned" if plan.stack.scan else "unrolled"
        sizes = " | ".join(size(number) for number in (plan.memory.total, account.total, account.arguments))
        lines.append(
            f"| {row.name} | {account.target} | {plan.run.model.name} | {plan.run.remat.policy}, {layers} | "
            f"{sizes} | {100 * row.error:+.1f} % |"
        )
    return "\n".join([*lines, "", *_verdicts(rows)])


def _verdicts(rows: list[Judged]) -> list[str]:
    verdicts = []
    for prefix, what in (("fit_", "fitted"), ("held_", "held out")):
        half = [row for row in rows if row.name.startswith(prefix)]
        if not half:
            continue
        mean = sum(abs(row.error) for row in half) / len(half)
        worst = max(half, key=lambda row: abs(row.error))
        verdicts.append(
            f"- {what}: mean error {100 * mean:.1f} % over {len(half)} pairs of run and target, worst "
            f"{100 * worst.error:+.1f} % ({worst.name})"
        )
        if prefix == "held_":
            reached = mean <= GOAL_MEAN and abs(worst.error) <= GOAL_WORST
            goal = f"mean {100 * GOAL_MEAN:.0f} %, worst {100 * GOAL_WORST:.0f} %"
            verdicts.append(f"- goal, held out: {goal}: {'reached' if reached else 'NOT reached'}")
    return verdicts


def heading(rows: list[Judged]) -> str:
    """What the table is and how it was made."""
    versions = ", ".join(sorted({row.account.jax_version for row in rows}))
    return (
        "# Memory of a training step: planned against the compiler's own account\n\n"
        f"Made by `python benchmarks/memory.py --measure`, jax {versions}. Bytes per device: arguments, outputs that "
        "are no arguments again, temporaries. Runs called `held_…` played no part in setting the constants of the "
        "plan's model of memory (docs/prediction.md).\n\n"
    )


if __name__ == "__main__":
    main()
