"""Plan -> the four files of a run, as text: program.py, plan.json, plan.md, resolved.moe. It writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from moec.compiler.emit.module import emit_program
from moec.compiler.expand import expand_run
from moec.compiler.places import places_of_resolved
from moec.compiler.plan import Plan
from moec.compiler.report.as_json import plan_json
from moec.compiler.report.markdown import plan_markdown


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The text of each file; lines that they name are those of `resolved`."""

    program: str
    plan_json: str
    plan_markdown: str
    resolved: str


def compile_run(plan: Plan) -> Artifacts:
    """All that is written for one run. Compiling `resolved` again gives the same bytes."""
    resolved = expand_run(plan.run)
    places = places_of_resolved(resolved)
    return Artifacts(
        program=emit_program(plan, places, identity_of(resolved)),
        plan_json=plan_json(plan, places),
        plan_markdown=plan_markdown(plan, places),
        resolved=resolved,
    )


def identity_of(resolved: str) -> str:
    """What a checkpoint is held to: the hash of the resolved spec."""
    import hashlib

    return f"sha256:{hashlib.sha256(resolved.encode()).hexdigest()}"
