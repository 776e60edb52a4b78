"""The text of a spec -> all that the page shows of it, in plain values: diagnostics, plan, shapes, program.

No file is read but those of moec itself: `use` finds nothing, and hardware comes from the catalogue. The process that
this runs in has an empty folder for its project, which holds paths to hardware files to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

from moec.compiler.artifacts import compile_run
from moec.compiler.pipeline import plan_run
from moec.compiler.places import places_of_run
from moec.compiler.plan import ActivationPlan, DimSpec, Plan, TensorPlan
from moec.compiler.report.document import Part, Report
from moec.compiler.report.sections import report_of
from moec.compiler.resolve import resolve
from moec.compiler.units import numbers_in_words
from moec.spec.allowances import check_allowances
from moec.spec.diagnostics import Diagnostic, in_order
from moec.spec.loader import load_text
from moec.spec.reader import read
from moec.spec.render.as_json import as_object
from moec.spec.source import Sources

Json = dict[str, Any]


def answer(name: str, text: str, run: str | None) -> Json:
    """What there is to say about `text`; the plan is that of `run`, or of the first run that has one."""
    loaded, told = load_text(name, text)
    if loaded is None:
        return _answer(told, {}, (), None)
    spec, of_reading = read(loaded)
    typed, of_resolving = resolve(spec)
    planned = [(one.name, *plan_run(one)) for one in typed.runs]
    told = (*told, *of_reading, *of_resolving, *(one for _, _, more in planned for one in more))
    plans = {name: plan for name, plan, _ in planned}
    whole = [name for name, plan in plans.items() if plan is not None]
    shown = run if run in whole else next(iter(whole), None)
    plan = plans[shown] if shown else None
    told = check_allowances(told, loaded)
    return _answer(told, loaded.sources, tuple(plans), _plan(plan, loaded.sources) if plan else None)


def _answer(told: Sequence[Diagnostic], sources: Sources, runs: tuple[str, ...], plan: Json | None) -> Json:
    diagnostics = [as_object(one, sources) for one in in_order(told)]
    return {"diagnostics": diagnostics, "runs": list(runs), "plan": plan}


def _plan(plan: Plan, sources: Sources) -> Json:
    return {
        "run": plan.run.name,
        "report": _report(report_of(plan, places_of_run(plan.run, sources))),
        "weights": [_weight(row, plan.mesh.axes) for row in plan.tensors],
        "activations": [_activation(row, plan.mesh.axes) for row in plan.activations],
        "program": compile_run(plan).program,
    }


def _report(report: Report) -> Json:
    sections = [{"title": one.title, "parts": [_part(part) for part in one.parts]} for one in report.sections]
    return {"title": report.title, "summary": list(report.summary), "sections": sections}


def _part(part: Part) -> Json:
    return {"kind": type(part).__name__.lower(), **asdict(part)}


def _weight(row: TensorPlan, axes: Mapping[str, int]) -> Json:
    layers = numbers_in_words(row.layers) if row.layers else ""
    return {"name": f"{row.owner}.{row.name}", "layers": layers, **_array(row, axes)}


def _activation(row: ActivationPlan, axes: Mapping[str, int]) -> Json:
    return {"name": row.name, "layers": "", **_array(row, axes)}


def _array(row: TensorPlan | ActivationPlan, axes: Mapping[str, int]) -> Json:
    """The shape as docs/notation.md writes it, over all devices and on one."""
    pairs = tuple(zip(row.dims, row.sharding, strict=True))
    local = [size // prod(axes[axis] for axis in cut) for size, cut in zip(row.shape, row.sharding, strict=True)]
    return {
        "dims": f"[{', '.join(_dim(dim, cut) for dim, cut in pairs)}]",
        "shape": list(row.shape),
        "per_device": local,
        "cut": [bool(prod(axes[axis] for axis in cut) > 1) for cut in row.sharding],
        "dtype": row.dtype,
    }


def _dim(letter: str, axes: DimSpec) -> str:
    """`D`, `E/expert`, or `B/(data, fsdp)`, as the program's comments have it."""
    if len(axes) > 1:
        return f"{letter}/({', '.join(axes)})"
    return f"{letter}/{axes[0]}" if axes else letter
