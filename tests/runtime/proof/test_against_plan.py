"""What a compiler did is held against the plan: as planned, statistics, windowed, or a failure that names its cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moec.runtime.proof.against_plan import Proof, judge
from moec.runtime.proof.expectation import Expectation, ExpectedCollective, ExpectedTensor
from moec.runtime.proof.measured import CollectiveRow, Measured, Memory, from_json, to_json
from moec.runtime.proof.targets import CHIPS, Target

TPU = Target(next(chip for chip in CHIPS if chip.name == "tpu_v5e"), (4, 4))
CPU = Target(next(chip for chip in CHIPS if chip.name == "cpu"), (16,))
MB = 10**6

PLAN = Expectation(
    axes={"data": 2, "fsdp": 2, "expert": 4, "seq": 1, "model": 1},
    topology=(4, 4),
    slices=1,
    memory_bytes={
        "params": 10 * MB,
        "gradients": 10 * MB,
        "optimizer": 20 * MB,
        "activations": 60 * MB,
        "total": 100 * MB,
    },
    hbm_bytes=16 * 10**9,
    remat="none",
    executed_flops=1e12,
    ideal_flops=8e11,
    step_seconds=0.1,
    collectives=(
        ExpectedCollective("all-to-all", "expert", 4, 10 * MB, "slots"),
        ExpectedCollective("all-gather", "fsdp", 10, 4 * MB, "weights"),
        ExpectedCollective("reduce-scatter", "fsdp", 10, 4 * MB, "gradients"),
        ExpectedCollective("all-reduce", "data+expert", 10, MB, "gradients"),
    ),
    tensors=(ExpectedTensor("Ffn.w_up", (64, 128), (("fsdp",), ()), (1, 2)),),
    activations=(),
    batch_bytes=0,
    n_experts=8,
    scan=False,
    repeats=(1, 1),
)


def row(op: str, axis: str, count: int, megabytes: float, origin: str = "jit(step)/x") -> CollectiveRow:
    """`count` equal operations that send `megabytes` in all."""
    sent = int(megabytes * MB)
    return CollectiveRow(op, axis, count, sent, 0, sent // count, ((origin, sent),))


AS_PLANNED = (
    row("all-to-all", "expert", 4, 40),
    row("all-gather", "fsdp", 10, 40),
    row("reduce-scatter", "fsdp", 1, 40),
    row("all-reduce", "data+expert", 3, 10),
)
MEASURED = Measured(
    device_kind="TPU v5 lite",
    devices=16,
    compile_seconds=1.0,
    jax_version="0",
    memory=Memory(arguments=30 * MB, outputs=30 * MB, aliased=30 * MB, temporary=70 * MB, code=0),
    flops=1e12,
    estimated_seconds=0.0,
    collectives=AS_PLANNED,
    unknown_loops=(),
    warnings=(),
)


def proof_of(*rows: CollectiveRow, target: Target = TPU, plan: Expectation | None = PLAN) -> Proof:
    return judge(replace(MEASURED, collectives=rows), plan, target)


def test_a_program_as_planned_is_proven_without_a_word() -> None:
    proof = proof_of(*AS_PLANNED)
    assert proof.ok
    assert proof.warnings == ()
    assert {entry.judgement for entry in proof.collectives} == {"planned"}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (row("all-gather", "expert", 4, 8, "jit(step)/experts/gather"), "no all-gather over expert"),
        (row("collective-permute", "data", 4, 8, "jit(step)/roll"), "no collective-permute over data"),
        (row("all-gather", "part of fsdp", 4, 8), "no all-gather over part of fsdp"),
        (row("all-to-all", "expert", 4, 40, "jit(step)/again"), "exchange over expert sends 80.00 MB"),
    ],
)
def test_what_the_plan_does_not_have_fails_with_its_name(extra: CollectiveRow, words: str) -> None:
    proof = proof_of(*AS_PLANNED, extra)
    assert not proof.ok
    (failure,) = proof.failures
    assert words in failure
    assert extra.origins[0][0] in failure or "jit(step)/x" in failure


def test_what_is_planned_and_not_there_fails() -> None:
    (failure,) = proof_of(*AS_PLANNED[1:]).failures
    assert "exchange over expert sends 0 B" in failure


def test_small_messages_are_statistics() -> None:
    proof = proof_of(*AS_PLANNED, row("all-reduce", "fsdp+expert", 3, 0.03), row("all-gather", "seq", 1, 0.02))
    assert proof.ok
    assert [entry.judgement for entry in proof.collectives[4:]] == ["statistics", "statistics"]


def test_a_model_whose_weights_are_small_messages_is_proven_by_them_and_fails_without_them() -> None:
    small = replace(PLAN, collectives=(ExpectedCollective("all-gather", "fsdp", 16, 4_608, "weights"),))
    gathers = row("all-gather", "fsdp", 16, 0.073728)
    assert proof_of(gathers, plan=small).failures == ()
    (failure,) = proof_of(replace(gathers, count=4, bytes=4 * 4_608), plan=small).failures
    assert "gather over fsdp sends" in failure


def test_statistics_do_not_add_to_work_that_is_as_planned() -> None:
    statistics = row("all-gather", "fsdp", 1000, 30)
    totals = proof_of(*AS_PLANNED, statistics).totals
    assert next(total for total in totals if (total.family, total.axis) == ("gather", "fsdp")).ratio == 1.0


def test_one_sum_over_two_axes_stands_for_two() -> None:
    proof = proof_of(*AS_PLANNED, row("all-reduce", "data+fsdp+expert", 1, 4))
    assert proof.collectives[-1].judgement == "planned"
    assert proof.ok


def test_a_ring_of_permutes_stands_for_the_reduction_that_it_hides() -> None:
    others = tuple(entry for entry in AS_PLANNED if entry.op != "reduce-scatter")
    proof = proof_of(*others, row("collective-permute", "fsdp", 150, 42))
    assert proof.ok
    assert proof.collectives[-1].judgement == "windowed"
    assert not proof_of(*AS_PLANNED, row("collective-permute", "fsdp", 150, 42)).ok


def test_a_sum_over_slices_is_as_planned_though_it_goes_in_stages() -> None:
    """2 slices along data: over expert 4, each device scatters and gathers 3/4 of what it adds up, and sends 1/4."""
    two = replace(TPU, shape=(2, 4), slices=2)
    others = tuple(entry for entry in AS_PLANNED if entry.op != "all-reduce")
    stages = (row("reduce-scatter", "expert", 10, 30 / 7), row("all-gather", "expert", 10, 30 / 7))
    between = row("all-reduce", "data", 10, 10 / 7)
    proof = proof_of(*others, *stages, between, target=two)
    assert proof.ok
    assert [entry.judgement for entry in proof.collectives[-3:]] == ["staged"] * 3
    assert not proof_of(*others, *stages, between).ok
    assert not proof_of(*others, stages[0], row("all-gather", "expert", 10, 40), between, target=two).ok
    assert not proof_of(*others, *stages, target=replace(two, shape=(4, 4), slices=1)).ok


def test_a_sum_inside_a_slice_that_the_plan_scatters_is_that_sum_and_no_stage() -> None:
    two = replace(TPU, shape=(2, 4), slices=2)
    plan = replace(PLAN, collectives=(*PLAN.collectives, ExpectedCollective("all-reduce", "data+fsdp", 1, MB, "x")))
    rest = tuple(entry for entry in AS_PLANNED if entry.op != "reduce-scatter")
    proof = proof_of(*rest, row("all-reduce", "fsdp", 10, 40), target=two, plan=plan)
    assert proof.ok
    assert proof.collectives[-1].judgement == "planned"


def test_stages_beside_planned_gathers_of_the_same_axis_are_counted_apart() -> None:
    two = replace(TPU, shape=(2, 4), slices=2)
    plan = replace(PLAN, collectives=(*PLAN.collectives, ExpectedCollective("all-reduce", "data+fsdp", 1, 8 * MB, "x")))
    extra = (row("all-gather", "fsdp", 12, 44), row("reduce-scatter", "fsdp", 1, 44), row("all-reduce", "data", 1, 2))
    rest = tuple(entry for entry in AS_PLANNED if entry.axis != "fsdp")
    proof = proof_of(*rest, *extra, target=two, plan=plan)
    assert proof.ok
    counted = {(entry.row.op, entry.row.axis, entry.row.bytes) for entry in proof.collectives}
    assert ("all-gather", "fsdp", 40 * MB) in counted
    assert ("reduce-scatter", "fsdp", 40 * MB) in counted
    assert ("all-reduce", "data+fsdp", 4 * MB) in counted


def test_a_ring_that_sends_too_much_is_told_of_with_the_reduction_that_it_hides() -> None:
    part = tuple(
        replace(entry, bytes=entry.bytes // 2) if entry.op == "reduce-scatter" else entry for entry in AS_PLANNED
    )
    (failure,) = proof_of(*part, row("collective-permute", "fsdp", 150, 420)).failures
    assert failure.startswith("reduce over fsdp sends")


def test_a_cpu_may_sum_whole_arrays_where_a_chip_may_not() -> None:
    whole = tuple(replace(entry, op="all-reduce", bytes=2 * entry.bytes) for entry in AS_PLANNED[2:3])
    rows = (*AS_PLANNED[:2], *whole, AS_PLANNED[3])
    assert proof_of(*rows, target=CPU).ok
    assert not proof_of(*rows, target=TPU).ok


def test_what_does_not_fit_fails_with_both_numbers() -> None:
    large = replace(MEASURED, memory=replace(MEASURED.memory, temporary=17 * 10**9))
    (failure,) = judge(large, PLAN, TPU).failures
    assert "17.03 GB" in failure
    assert "16.00 GB" in failure


def test_a_refusal_is_the_failure() -> None:
    proof = judge(None, PLAN, TPU, "does not fit: 20.75G of 15.75G")
    assert proof.failures == ("does not fit: 20.75G of 15.75G",)


def test_memory_flops_replication_and_padding_that_the_plan_does_not_say_are_warned_of() -> None:
    memory = replace(MEASURED.memory, arguments=60 * MB, temporary=200 * MB)
    uneven = replace(PLAN, activations=(ExpectedTensor("residual_BSD", (6, 128), (("expert",), ()), ()),))
    warnings = judge(replace(MEASURED, memory=memory, flops=2e12), uneven, TPU).warnings
    assert len(warnings) == 4
    assert "6 over expert (4) is padded to 8" in warnings[0]
    assert "memory: 260.00 MB" in warnings[1]
    assert "replicated" in warnings[2]
    assert "2.00 times" in warnings[3]


def test_without_a_plan_nothing_is_held_against_it_and_it_is_said() -> None:
    proof = proof_of(*AS_PLANNED, plan=None)
    assert proof.ok
    assert "no plan.json" in proof.warnings[0]


def test_facts_survive_the_way_between_processes() -> None:
    assert from_json(to_json(MEASURED)) == MEASURED
