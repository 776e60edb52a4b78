"""The sections on what the model is made of: its weights and what one token costs."""

from __future__ import annotations

from math import prod

from moec.compiler.emit.weights import sharded_dims
from moec.compiler.places import Places
from moec.compiler.plan import Plan, TensorPlan
from moec.compiler.report.document import Column, Paragraph, Section, Table
from moec.compiler.report.facts import facts
from moec.compiler.units import count, exact, flops, numbers_in_words, share


def model_section(plan: Plan, places: Places) -> Section:
    """Every kind of weight with shape, sharding and count, and the totals."""
    columns = (
        Column("weight"),
        Column("shape"),
        Column("sharded"),
        Column("of one device"),
        Column("layers"),
        Column("count", "right"),
        Column("active", "right"),
    )
    counts = plan.parameters
    total = ("total", "", "", "", "", f"{counts.total:,}", f"{counts.active:,}")
    rows = tuple(_weight(tensor, plan) for tensor in plan.tensors)
    roles = ", ".join(f"{role.replace('_', ' ')} {count(number)}" for role, number in counts.by_role.items() if number)
    parts = (Table(columns, rows, total), Paragraph(f"By role: {roles}."), *facts(plan, places, ("params", "n_params")))
    return Section("Model", parts)


def _weight(tensor: TensorPlan, plan: Plan) -> tuple[str, ...]:
    number = prod(tensor.shape) * tensor.copies
    local = tuple(
        size // prod(plan.mesh.axes[axis] for axis in axes)
        for size, axes in zip(tensor.shape, tensor.sharding, strict=True)
    )
    trained = tensor.trainable
    return (
        f"{tensor.owner}.{tensor.name}",
        _shape(tensor.shape),
        sharded_dims(tensor.dims, tensor.sharding),
        _shape(local),
        numbers_in_words(tensor.layers) or "-",
        f"{number:,}" if trained else "(state)",
        exact(number * tensor.active) if trained else "",
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)


def flops_section(plan: Plan, places: Places) -> Section:
    """The operations of the forward pass, ideal and executed, and each convention of counting."""
    columns = (
        Column("operation"),
        Column("layers", "right"),
        Column("ideal", "right"),
        Column("of all", "right"),
        Column("executed", "right"),
        Column("formula, per layer"),
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
    conventions = Table(
        (Column("training FLOPs of one token, counted as"), Column("exact", "right"), Column("", "right")),
        tuple((name, exact(number), flops(number)) for name, number in counts.conventions.items()),
    )
    return Section("FLOPs of one token", (Table(columns, rows, total), conventions, *facts(plan, places, ("flops",))))
