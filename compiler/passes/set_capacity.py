"""RunSpec, MeshPlan, BatchPlan -> RoutingPlan: groups, slots, and the kernels that move and multiply.

A group never spans devices, so the tokens that are dropped are the same on every mesh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from moec.compiler.formulas.capacity import capacity_per_choice, expected_slots, slots_per_token
from moec.compiler.passes.choose_grouped_matmul import BY_ROWS, choose_grouped_matmul, grouped_matmul_cannot
from moec.compiler.passes.choose_kernels import not_on_platform
from moec.compiler.passes.places import place
from moec.compiler.plan import BatchPlan, MeshPlan, RoutingPlan
from moec.compiler.typed import ExpertsSpec, RunSpec
from moec.spec.codes import experts as codes
from moec.spec.codes import memory as memory_codes
from moec.spec.diagnostics import Diagnostic


def set_capacity(run: RunSpec, mesh: MeshPlan, batch: BatchPlan) -> tuple[RoutingPlan | None, tuple[Diagnostic, ...]]:
    """The routing of one MoE layer and micro-batch; None without experts or with errors. Errors: MOE5102 to MOE5107,
    MOE5110, MOE7102, MOE7107."""
    experts = run.model.experts
    if experts is None:
        return None, ()
    told = (
        *check_capacity(run, experts),
        *check_groups(run, experts, mesh, batch),
        *check_kernels(run, experts, mesh.axes),
    )
    if told:
        return None, told
    dispatch, why_dispatch = choose_dispatch(experts, mesh)
    grouped_matmul, why_matmul = choose_grouped_matmul(run, experts, mesh.axes, dispatch)
    capacity, slots = slots_of(experts)
    groups = batch.micro_sequences * run.model.seq_len // experts.group_size
    reason = f"{dispatch}: {why_dispatch}; {grouped_matmul}: {why_matmul}"
    return RoutingPlan(experts.group_size, groups, capacity, slots, dispatch, grouped_matmul, reason), ()


def slots_of(experts: ExpertsSpec) -> tuple[int | None, Fraction | None]:
    """Capacity per expert and group in both conventions; None for dropless."""
    if experts.capacity_factor is None:
        return None, None
    capacity = capacity_per_choice(experts.top_k, experts.group_size, experts.capacity_factor, experts.n_experts)
    return capacity, slots_per_token(capacity, experts.n_experts, experts.group_size)


def check_capacity(run: RunSpec, experts: ExpertsSpec) -> tuple[Diagnostic, ...]:
    """Error where an expert would get less than one slot of a group."""
    factor = experts.capacity_factor
    if factor is None:
        return ()
    slots = expected_slots(experts.top_k, experts.group_size, factor, experts.n_experts)
    if slots >= 1:
        return ()
    at, group_at = place(run, "model.experts.capacity_factor"), place(run, "model.experts.group_size")
    return (codes.capacity_below_one(at, experts.top_k, experts.group_size, factor, experts.n_experts, group_at),)


def check_groups(run: RunSpec, experts: ExpertsSpec, mesh: MeshPlan, batch: BatchPlan) -> tuple[Diagnostic, ...]:
    """Errors where a group would cut sequences unevenly, or hold tokens of two devices. Dropless experts have no
    groups."""
    if experts.capacity_factor is None:
        return ()
    size, seq_len, seq = experts.group_size, run.model.seq_len, mesh.axes["seq"]
    at, seq_len_at = place(run, "model.experts.group_size"), place(run, "model.seq_len")
    if size % seq_len and seq_len % size:
        return (codes.group_cuts_sequences(at, size, seq_len, seq_len_at),)
    if seq > 1 and (seq_len // seq) % size:
        return (codes.group_spans_sequence_shards(at, size, seq_len, seq, place(run, "mesh.axes.seq")),)
    per_device = batch.tokens_per_device // batch.micro_batches
    if per_device % size == 0:
        return ()
    return (codes.group_spans_devices(at, size, per_device, place(run, "batch.tokens")),)


def check_kernels(run: RunSpec, experts: ExpertsSpec, axes: Mapping[str, int]) -> Iterator[Diagnostic]:
    """Errors where a named kernel is not for this hardware or these widths, or needs a fixed number of slots and there
    is none or there is nothing else."""
    matmul_at, expert_axis = place(run, "model.experts.grouped_matmul"), axes["expert"]
    on_other_platform = tuple(not_on_platform(run, "model.experts.grouped_matmul", experts.grouped_matmul))
    yield from on_other_platform
    cannot = grouped_matmul_cannot(run, experts, axes["model"], experts.grouped_matmul)
    if cannot and not on_other_platform:
        yield memory_codes.grouped_matmul_cannot(matmul_at, experts.grouped_matmul, cannot)
    exchanged = expert_axis > 1 and experts.dispatch != "all_gather"
    expert_at, capacity_at = place(run, "mesh.axes.expert"), place(run, "model.experts.capacity_factor")
    if experts.capacity_factor is not None:
        if exchanged and experts.grouped_matmul in BY_ROWS:
            yield codes.rows_after_exchange(matmul_at, experts.grouped_matmul, expert_axis, expert_at)
        return
    if expert_axis > 1 and experts.dispatch == "sorted":
        yield codes.dropless_exchange(place(run, "model.experts.dispatch"), expert_axis, expert_at, capacity_at)
    for field, kernel, needs_slots in (
        ("dispatch", experts.dispatch, "onehot"),
        ("grouped_matmul", experts.grouped_matmul, "batched"),
    ):
        if kernel == needs_slots:
            yield codes.kernel_needs_capacity(place(run, f"model.experts.{field}"), field, kernel, capacity_at)


def choose_dispatch(experts: ExpertsSpec, mesh: MeshPlan) -> tuple[str, str]:
    """The runtime's name for how tokens reach their experts, and why."""
    expert_axis = mesh.axes["expert"]
    if experts.dispatch != "auto":
        return experts.dispatch, "written in the spec"
    if experts.capacity_factor is None and expert_axis > 1:
        return (
            "all_gather",
            f"dropless counts differ per device: every device of the {expert_axis} sees all tokens of its expert group",
        )
    if expert_axis > 1:
        return "sorted", "tokens sorted into fixed slots, moved by 2 all-to-alls over `expert`; no FLOPs"
    return "sorted", "tokens sorted by expert on their own device; no FLOPs, nothing is sent"
