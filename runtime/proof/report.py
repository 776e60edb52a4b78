"""A proof as text for people, as Markdown for the folder of the program, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from moec.runtime.proof.against_plan import JudgedCollective, Proof
from moec.runtime.proof.expectation import Expectation
from moec.runtime.proof.measured import Measured
from moec.runtime.proof.units import gigabytes

WORD = {
    "planned": "as planned",
    "windowed": "as planned, in a ring of permutes",
    "staged": "as planned, a sum over slices inside each",
    "statistics": "statistics",
    "unplanned": "NOT PLANNED",
}


def as_text(proof: Proof) -> str:
    """The report; ends with a line end."""
    return "\n".join(_lines(proof)) + "\n"


def as_markdown(proof: Proof) -> str:
    """The report as a document."""
    return f"# Proof for {proof.target}\n\n```\n{as_text(proof)}```\n"


def as_json(proof: Proof) -> str:
    """The object of `moec prove --format json`; bytes are per device, those of collectives per step."""
    return json.dumps(proof_object(proof), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def proof_object(proof: Proof) -> dict[str, Any]:
    """All that the proof says, with keys in a fixed order."""
    measured = proof.measured
    return {
        "ok": proof.ok,
        "target": proof.target,
        "devices": proof.devices,
        "device_kind": None if measured is None else measured.device_kind,
        "jax_version": None if measured is None else measured.jax_version,
        "compile_seconds": None if measured is None else round(measured.compile_seconds, 3),
        "hbm_bytes_per_device": None if measured is None else measured.memory.total,
        "hbm_capacity_bytes": proof.capacity_bytes or None,
        "memory": None if measured is None else _memory(measured),
        "flops_per_device": None if measured is None else measured.flops,
        "compiler_step_seconds": None if measured is None else measured.estimated_seconds or None,
        "collectives": [_collective(entry) for entry in proof.collectives],
        "against_plan": _against_plan(proof),
        "failures": list(proof.failures),
        "warnings": list(proof.warnings),
    }


def _memory(measured: Measured) -> dict[str, int]:
    memory = measured.memory
    return {
        "arguments_bytes": memory.arguments,
        "outputs_bytes": memory.outputs,
        "aliased_bytes": memory.aliased,
        "temporaries_bytes": memory.temporary,
        "code_bytes": memory.code,
    }


def _collective(entry: JudgedCollective) -> dict[str, Any]:
    row = entry.row
    return {
        "op": row.op,
        "axis": row.axis,
        "count": row.count,
        "bytes": row.bytes,
        "in_loop_count": row.in_loop_count,
        "expected": entry.judgement != "unplanned",
        "class": entry.judgement,
        "planned_count": entry.planned_count,
        "planned_bytes": entry.planned_bytes,
        "origins": [{"op_name": name, "bytes": size} for name, size in row.origins],
    }


def _against_plan(proof: Proof) -> dict[str, Any] | None:
    expectation, measured = proof.expectation, proof.measured
    if expectation is None:
        return None
    compared: dict[str, Any] = {
        "memory": {"planned_bytes": expectation.memory_bytes["total"], "by_kind": dict(expectation.memory_bytes)},
        "flops": {"planned_executed": expectation.executed_flops, "planned_ideal": expectation.ideal_flops},
        "step_seconds": {"planned": expectation.step_seconds},
        "totals": [
            {"family": row.family, "axis": row.axis, "bytes": row.bytes, "planned_bytes": row.planned_bytes}
            for row in proof.totals
        ],
    }
    if measured is not None:
        compared["memory"]["ratio"] = _ratio(measured.memory.total, expectation.memory_bytes["total"])
        compared["flops"]["ratio_to_executed"] = _ratio(measured.flops, expectation.executed_flops)
        compared["flops"]["ratio_to_ideal"] = _ratio(measured.flops, expectation.ideal_flops)
    return compared


def _ratio(found: float, planned: float) -> float | None:
    return round(found / planned, 4) if planned else None


def _lines(proof: Proof) -> Iterator[str]:
    verdict = "proven" if proof.ok else "NOT PROVEN"
    yield f"{verdict} for {proof.target}: {proof.devices} devices"
    if proof.measured is not None:
        yield from _measured_lines(proof, proof.measured)
    elif proof.expectation is not None:
        planned = gigabytes(proof.expectation.memory_bytes["total"])
        yield f"  the plan predicts {planned} per device, of {gigabytes(proof.capacity_bytes)}"
    for failure in proof.failures:
        yield f"  failed   {_indented(failure)}"
    for warning in proof.warnings:
        yield f"  warning  {_indented(warning)}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n           ")


def _measured_lines(proof: Proof, measured: Measured) -> Iterator[str]:
    yield f"  compiled in {measured.compile_seconds:,.1f} s by jax {measured.jax_version} for {measured.device_kind}"
    yield ""
    yield from _memory_lines(proof, measured)
    yield from _flops_lines(proof.expectation, measured)
    yield ""
    yield "  collectives per step and device, loops counted"
    yield f"    {'operation':<19} {'axis':<22} {'count':>6} {'sends':>11} {'plan sends':>11}"
    for entry in proof.collectives:
        row = entry.row
        planned = gigabytes(entry.planned_bytes) if entry.planned_bytes else "-"
        yield (
            f"    {row.op:<19} {row.axis:<22} {row.count:>6} {gigabytes(row.bytes):>11} {planned:>11}  "
            f"{WORD[entry.judgement]}"
        )
    if not proof.collectives:
        yield "    none"


def _memory_lines(proof: Proof, measured: Measured) -> Iterator[str]:
    memory, expectation = measured.memory, proof.expectation
    of = f" of {gigabytes(proof.capacity_bytes)}" if proof.capacity_bytes else ""
    yield f"  memory per device   {gigabytes(memory.total):>11}{of}{_beside(memory.total, expectation)}"
    yield f"    arguments         {gigabytes(memory.arguments):>11}"
    yield f"    outputs           {gigabytes(memory.outputs):>11}, of which {gigabytes(memory.aliased)} in place"
    yield f"    temporaries       {gigabytes(memory.temporary):>11}"
    yield f"    generated code    {gigabytes(memory.code):>11}"


def _beside(total: int, expectation: Expectation | None) -> str:
    if expectation is None:
        return ""
    planned = expectation.memory_bytes["total"]
    return f"; plan {gigabytes(planned)}, ratio {total / planned:.2f}"


def _flops_lines(expectation: Expectation | None, measured: Measured) -> Iterator[str]:
    yield f"  FLOPs per device    {measured.flops / 1e12:>8,.3f} T  in matrix products, loops counted"
    if expectation is not None and measured.flops:
        yield (
            f"    plan              {expectation.executed_flops / 1e12:>8,.3f} T  as executed, ratio "
            f"{measured.flops / expectation.executed_flops:.2f}; {expectation.ideal_flops / 1e12:,.3f} T without "
            f"padding and re-computation, ratio {measured.flops / expectation.ideal_flops:.2f}"
        )
    if measured.estimated_seconds:
        yield f"  compiler's estimate {measured.estimated_seconds * 1e3:>8,.2f} ms of one step, loops counted once"
