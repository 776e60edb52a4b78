"""The sections on what the model is made of: its weights and what one token costs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from math import prod

from moec.compiler.formula_text import derivation, worked_out
from moec.compiler.places import Places
from moec.compiler.plan import Derivation, Plan, TensorPlan
from moec.compiler.report.document import Column, Paragraph, Section, Table
from moec.compiler.report.facts import facts, sources
from moec.compiler.units import count, exact, flops, numbers_in_words, share


def model_section(plan: Plan, places: Places) -> Section:
    """Every kind of weight with shape, sharding and count, and the totals."""
    counts = plan.parameters
    columns = (
        Column("weight", is_code=True),
        Column("shape"),
        Column("dims"),
        Column("per device"),
        Column("count, all layers", "right"),
    )
    table = Table(columns, tuple(_weights(plan)), ("total", "", "", "", f"{counts.total:,}"))
    roles = ", ".join(f"{role.replace('_', ' ')} {count(number)}" for role, number in counts.by_role.items() if number)
    note = Paragraph(f"Dims are cut over the mesh axis behind the stroke. By role: {roles}.")
    return Section("Model", (table, note, *facts(plan, places, "params.total", "params.active", "params.embedding")))


def _weights(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A heading per class of the program, a row per weight of it."""
    for (owner, layers), tensors in groupby(plan.tensors, key=lambda tensor: (tensor.owner, tensor.layers)):
        where = f", {'layer' if len(layers) == 1 else 'layers'} {numbers_in_words(layers)}" if layers else ""
        yield (f"{owner}{where}",)
        yield from (_weight(tensor, plan) for tensor in tensors)


def _weight(tensor: TensorPlan, plan: Plan) -> tuple[str, ...]:
    local = tuple(
        size // prod(plan.mesh.axes[axis] for axis in axes)
        for size, axes in zip(tensor.shape, tensor.sharding, strict=True)
    )
    number = f"{prod(tensor.shape) * tensor.copies:,}" if tensor.trainable else "state"
    return tensor.name, _shape(tensor.shape), _dims(tensor), _shape(local), number


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)


def _dims(tensor: TensorPlan) -> str:
    pairs = zip(tensor.dims, tensor.sharding, strict=True)
    return " ".join("/".join((dim, *axes)) for dim, axes in pairs)


def flops_section(plan: Plan, places: Places) -> Section:
    """The operations of the forward pass, ideal and executed, and each convention of counting."""
    columns = (
        Column("operation"),
        Column("layers", "right"),
        Column("ideal", "right"),
        Column("of all", "right"),
        Column("executed", "right"),
        Column("formula, per layer", is_code=True),
    )
    counts = plan.flops
    rows = tuple(
        (
            row.operation,
            str(row.layers),
            flops(row.ideal_flops_per_token),
            share(row.ideal_flops_per_token, counts.forward_per_token),
            flops(row.executed_flops_per_token),
            row.formula,
        )
        for row in counts.rows
    )
    executed = sum(row.executed_flops_per_token for row in counts.rows)
    total = ("forward", "", flops(counts.forward_per_token), "100.0 %", flops(executed), "")
    names = ("forward", "train", "executed_train")
    shown = facts(plan, places, *(f"flops_per_token.{name}" for name in names))
    return Section("FLOPs of one token", (Table(columns, rows, total), *shown, *_conventions(plan)))


def _conventions(plan: Plan) -> tuple[Table, Paragraph]:
    """The same training FLOPs as others count them."""
    columns = (
        Column("training FLOPs, counted as", is_code=True),
        Column("exact", "right"),
        Column("short", "right"),
        Column("formula", is_code=True),
    )
    derived = {name: derivation(plan, f"flops_per_token.conventions.{name}") for name in plan.flops.conventions}
    rows = tuple(
        (name, exact(number), flops(number), _formula(derived[name])) for name, number in plan.flops.conventions.items()
    )
    return Table(columns, rows), Paragraph(f"[{sources(row for row in derived.values() if row)}]")


def _formula(row: Derivation | None) -> str:
    return worked_out(row).partition(" = ")[0] if row else ""
