"""`moec plan --prove-top N`: the planner's best candidates, each compiled by the target's compiler, and the best of
those that it accepts.

Of several that are accepted the one with the least step time by the compiler's own estimate is taken where it gives one
for all of them, else the planner's first.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, OK, Failure

if TYPE_CHECKING:
    from moec.compiler.plan import Plan
    from moec.compiler.typed import RunSpec

PROOF = "proof.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the compiler says of one candidate: `step_seconds` None where it estimates none."""

    ok: bool
    text: str
    step_seconds: float | None


def plan_by_proof(run: RunSpec, plan: Plan, number: int) -> Plan:
    """The plan of the candidate that is taken; `plan` itself where nothing was open. Failure: none is accepted."""
    from moec.compiler.pipeline import best_plans
    from moec.compiler.report.choices import layout_of

    if plan.choices is None:
        print(f"{run.name}: nothing was left to choose, so nothing is proven", file=sys.stderr)
        return plan
    candidates = best_plans(run, plan, number)
    verdicts = prove(candidates)
    taken = pick(verdicts)
    for candidate, verdict in zip(plan.choices.best, verdicts, strict=False):
        print(f"{run.name}: {layout_of(candidate)}, remat {candidate.remat}: {verdict.text}", file=sys.stderr)
    if taken is None:
        raise Failure(f"{run.name}: the compiler accepts none of the best {len(candidates)}", DIAGNOSED)
    return with_verdicts(candidates[taken], plan, verdicts, taken)


def prove(candidates: Sequence[Plan]) -> tuple[Verdict, ...]:
    """Compiles each candidate in turn; proofs want all the memory that there is."""
    from moec.cli.compile import PROGRAM, write_run
    from moec.cli.program import execute_all

    with tempfile.TemporaryDirectory(prefix="moec-prove-top-") as name:
        folders = [Path(name) / str(number) for number in range(len(candidates))]
        for folder, candidate in zip(folders, candidates, strict=True):
            write_run(candidate, folder)
        commands = tuple((folder / PROGRAM, ("prove", "--format", "json", "--out", str(folder))) for folder in folders)
        printed: dict[int, str] = {}
        statuses = execute_all(commands, 1, lambda index, out, err: printed.update({index: err}))
        return tuple(
            verdict_of(folder / PROOF, status, printed.get(index, ""))
            for index, (folder, status) in enumerate(zip(folders, statuses, strict=False))
        )


def verdict_of(proof: Path, status: int, err: str) -> Verdict:
    """What stands in proof.json; what the program said where it wrote none. Failure: it could not be asked at all."""
    if not proof.is_file():
        raise Failure(err.strip() or f"the proof ended with status {status}", status if status != OK else DIAGNOSED)
    told = json.loads(proof.read_text(encoding="utf-8"))
    if not told["ok"]:
        return Verdict(False, f"not proven: {'; '.join(told['failures'])}", None)
    memory = told["hbm_bytes_per_device"]
    seconds = told["compiler_step_seconds"]
    step = f", {1000 * seconds:.3g} ms per step by the compiler's estimate" if seconds else ""
    return Verdict(True, f"proven, {memory / 2**30:.2f} GiB per device{step}", seconds)


def pick(verdicts: Sequence[Verdict]) -> int | None:
    """The index of the candidate to take, None where none is accepted."""
    accepted = [(index, verdict.step_seconds) for index, verdict in enumerate(verdicts) if verdict.ok]
    timed = [(seconds, index) for index, seconds in accepted if seconds is not None]
    if accepted and len(timed) == len(accepted):
        return min(timed)[1]
    return accepted[0][0] if accepted else None


def with_verdicts(chosen: Plan, plan: Plan, verdicts: Sequence[Verdict], taken: int) -> Plan:
    """The chosen plan with the ranking that it comes from, itself first, and the verdict on each that was proven."""
    assert plan.choices is not None, "only what was chosen is proven"
    told = [verdict.text for verdict in verdicts]
    best = [
        replace(choice, proof=told[index] if index < len(told) else "")
        for index, choice in enumerate(plan.choices.best)
    ]
    first = best.pop(taken)
    choices = replace(plan.choices, best=(first, *best))
    return replace(chosen, choices=choices, scale=plan.scale, decisions=chosen.decisions or plan.decisions)
