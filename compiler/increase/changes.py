"""Two plans -> the runs that the second one could become, one step away from how it is written.

Layouts and micro-batches are left to the planner, which knows what fits; kernels, slots, groups and widths are tried
one by one. Says nothing about which of them are legal or good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Final

from moec.compiler.passes.choose_grouped_matmul import BY_ROWS, can_multiply
from moec.compiler.plan import MeshPlan, Plan, RoutingPlan
from moec.compiler.planner.candidates import open_choices
from moec.compiler.typed import MESH_AXES, ExpertsSpec, RematSpec, RunSpec

TOKEN_AXES: Final = ("data", "fsdp", "expert")
"""The axes that share the batch out: to trade one for another changes neither matmuls nor kernels."""

GROUP_PARTS: Final = (1, 2, 4, 8)
"""Groups that are tried: a sequence, and equal parts of one."""


def as_planned(plan: Plan) -> RunSpec:
    """The plan's run with the sizes of its axes written out."""
    return with_axes(plan.run, plan.mesh)


def with_axes(run: RunSpec, mesh: MeshPlan) -> RunSpec:
    """The run with the axes of a mesh in place of its own."""
    return replace(run, mesh=replace(run.mesh, axes=dict(mesh.axes)))


def changed_runs(first: Plan, other: Plan) -> Iterator[RunSpec]:
    """The other run's alternatives; those of a layout have `auto` where the planner is to choose and has not yet."""
    run = as_planned(other)
    asked = frozenset(other.choices.asked) if other.choices is not None else frozenset()
    yield from (layout for layout in _layouts(run) if not asked.issuperset(open_choices(layout)))
    experts = run.model.experts
    if experts is None or other.routing is None:
        return
    changed = chain(
        _kernels(run, experts, other.routing, other.mesh.axes["model"]),
        _slots(experts),
        _groups(run, experts),
        _models(first, run, experts),
    )
    yield from (replace(run, model=replace(run.model, experts=one)) for one in changed)


def _layouts(run: RunSpec) -> Iterator[RunSpec]:
    """The axes of tokens alone, memory alone, and all that the planner can choose; what is saved by name stays."""
    remat = run.remat if run.remat.policy == "names" else RematSpec("auto", (), ())
    memory = replace(run, batch=replace(run.batch, micro="auto"), remat=remat)
    yield _open(run, TOKEN_AXES)
    yield replace(run, remat=memory.remat)
    yield memory
    yield _open(memory, MESH_AXES)


def _open(run: RunSpec, axes: tuple[str, ...]) -> RunSpec:
    return replace(run, mesh=replace(run.mesh, axes={**run.mesh.axes, **dict.fromkeys(axes, "auto")}))


def _kernels(run: RunSpec, experts: ExpertsSpec, routing: RoutingPlan, model_axis: int) -> Iterator[ExpertsSpec]:
    """Other ways to bring tokens to experts and to multiply there, on the run's hardware."""
    for dispatch in ("sorted", "all_gather", "onehot"):
        if dispatch != routing.dispatch:
            yield replace(experts, dispatch=dispatch)
    for kernel in ("batched", *BY_ROWS):
        if kernel != routing.grouped_matmul and can_multiply(run, experts, model_axis, kernel):
            yield replace(experts, grouped_matmul=kernel)


def _slots(experts: ExpertsSpec) -> Iterator[ExpertsSpec]:
    """As many slots as an even load fills, and no fixed number of slots."""
    factor = experts.capacity_factor
    if factor is None or factor > 1:
        yield replace(experts, capacity_factor=Fraction(1))
    if factor is not None:
        yield replace(experts, capacity_factor=None)


def _groups(run: RunSpec, experts: ExpertsSpec) -> Iterator[ExpertsSpec]:
    """Other groups, which round their slots otherwise and make one-hot masks larger or smaller."""
    if experts.capacity_factor is None:
        return
    for parts in GROUP_PARTS:
        size, rest = divmod(run.model.seq_len, parts)
        if not rest and size != experts.group_size:
            yield replace(experts, group_size=size)


def _models(first: Plan, run: RunSpec, experts: ExpertsSpec) -> Iterator[ExpertsSpec]:
    """Half as many experts of twice the width; experts that together are as wide as the first run's dense layer."""
    if experts.top_k % 2 == 0 and experts.n_experts % 2 == 0 and experts.n_shared_experts % 2 == 0:
        yield _fewer_choices(experts)
    ffn = first.run.model.ffn
    if ffn is None or first.run.model.experts is not None:
        return
    _, columns = run.mesh.hardware.tile
    unit = max(1, columns) * int(run.mesh.axes["model"])
    width = ffn.d_ff // (experts.top_k + experts.n_shared_experts) // unit * unit
    if 0 < width < experts.d_ff:
        yield replace(experts, d_ff=width)


def _fewer_choices(experts: ExpertsSpec) -> ExpertsSpec:
    """The same weights, total and active, in half as many experts; a single choice keeps its own score."""
    wider = replace(
        experts,
        n_experts=experts.n_experts // 2,
        n_shared_experts=experts.n_shared_experts // 2,
        top_k=experts.top_k // 2,
        d_ff=2 * experts.d_ff,
    )
    if wider.top_k > 1:
        return wider
    return replace(wider, renormalize=False, order="score_then_topk")
