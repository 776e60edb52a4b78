"""What makes a mixture's step longer than its dense twin's: causes that add up, and changes that really help."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from math import fsum

import pytest
from runs import BASELINE, GPU, LAPTOP, POD, mesh

from moec.compiler.difference import differences
from moec.compiler.increase.answer import HEALTHY_RATIO, increase
from moec.compiler.increase.causes import ATTENTION, EMPTY_SLOTS, MATMULS, REMADE, WEIGHT_READS, seconds_by_cause
from moec.compiler.increase.proposals import effect_of
from moec.compiler.increase.spec_line import spec_line
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.report.increase import increase_object, increase_section
from moec.compiler.report.text import section_text
from moec.compiler.typed import RunSpec

PAIR = """
edition = 2026

model dense {
  vocab_size = 32Ki
  seq_len    = 2Ki
  n_layers   = 8
  d_model    = 1024
  dtype     { compute = bfloat16 }
  attention { n_heads = 8, d_head = 128 }
  ffn       { d_ff = 4096, activation = swiglu }
}
model sparse extends dense {
  experts { every = 2, n_experts = 16, top_k = 2, d_ff = 4096, capacity_factor = 1.25, balance_loss = 0.01 }
}
mesh node { hardware = h100, devices = 8, axes { fsdp = auto, expert = 4 } }
budget short { tokens = 10B }
run twin {
  model = dense, mesh = node, budget = short
  batch { tokens = 512Ki, micro = 128Ki }
  remat { policy = full }
}
run mixture extends twin { model = sparse }
"""


def plan_of(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def with_experts(run: RunSpec, **changed: object) -> RunSpec:
    assert run.model.experts is not None
    return replace(run, model=replace(run.model, experts=replace(run.model.experts, **changed)))


ON_GPUS = replace(
    with_experts(LAPTOP, n_experts=16, capacity_factor=Fraction(3, 2)),
    mesh=mesh(GPU, 4, fsdp=2, expert=2),
    batch=replace(LAPTOP.batch, tokens=16_384),
)
PLANNED = {
    "laptop": LAPTOP,
    "baseline": BASELINE,
    "pod": POD,
    "gpus": ON_GPUS,
    "onehot": with_experts(ON_GPUS, dispatch="onehot"),
    "dropless": with_experts(ON_GPUS, capacity_factor=None),
}


@pytest.mark.parametrize("name", PLANNED)
def test_the_causes_of_a_step_sum_to_its_seconds(name: str) -> None:
    plan = plan_of(PLANNED[name])
    assert fsum(seconds_by_cause(plan).values()) == pytest.approx(plan.step_time.seconds, rel=1e-12)


def test_empty_slots_cost_what_a_capacity_factor_of_one_saves() -> None:
    plan, filled = plan_of(ON_GPUS), plan_of(with_experts(ON_GPUS, capacity_factor=Fraction(1)))
    saved = plan.step_time.seconds - filled.step_time.seconds
    assert saved > 0
    assert seconds_by_cause(plan)[EMPTY_SLOTS] == pytest.approx(saved, rel=1e-12)
    assert EMPTY_SLOTS not in seconds_by_cause(filled)


def test_a_few_rows_per_expert_wait_for_the_weights_and_many_do_not() -> None:
    few = replace(ON_GPUS, batch=replace(ON_GPUS.batch, micro=1024))
    waiting, busy = (seconds_by_cause(plan_of(run)).get(WEIGHT_READS, 0.0) for run in (few, ON_GPUS))
    assert waiting > 4 * busy


def test_what_remat_makes_again_is_a_cause_and_leaves_equal_attention_equal(plan_text) -> None:
    plans = plan_text(PAIR.replace("policy = full", "policy = save_dots"))
    causes = {cause.name: cause for cause in increase(plans["twin"], plans["mixture"]).causes}
    # Experts have a batch dim, which the policy does not keep; a dense layer has none.
    assert causes[REMADE].more_seconds > 0
    assert causes[REMADE].first_seconds > 0
    assert causes[ATTENTION].more_seconds == pytest.approx(0.0, abs=1e-9 * plans["twin"].step_time.seconds)
    assert REMADE not in seconds_by_cause(plan_of(LAPTOP))


def test_a_run_against_itself_has_no_increase_and_no_proposal() -> None:
    plan = plan_of(LAPTOP)
    answer = increase(plan, plan)
    assert answer.ratio == 1.0
    assert {cause.more_seconds for cause in answer.causes} == {0.0}
    assert answer.tried == 0
    assert answer.proposals == ()


def test_two_experts_as_wide_as_the_dense_layer_are_the_main_reason_on_a_laptop() -> None:
    answer = increase(plan_of(BASELINE), plan_of(LAPTOP))
    assert answer.causes[0].name == MATMULS
    # Half of the layers multiply twice as much.
    assert answer.causes[0].other_seconds == pytest.approx(1.5 * answer.causes[0].first_seconds)
    assert next(cause for cause in answer.causes if cause.name == ATTENTION).more_seconds == 0.0
    assert "2 experts of d_ff 344, where `baseline` has a layer of d_ff 344" in answer.why
    assert answer.proposals[0].line == f"model {LAPTOP.model.name} {{ experts {{ d_ff = 172 }} }}"
    assert answer.proposals[0].effect == "model"


def test_runs_with_other_batches_are_compared_for_as_many_tokens() -> None:
    twice = replace(LAPTOP, batch=replace(LAPTOP.batch, tokens=2 * LAPTOP.batch.tokens))
    once, scaled = (increase(plan_of(BASELINE), plan_of(run)) for run in (LAPTOP, twice))
    assert scaled.ratio == pytest.approx(once.ratio, rel=1e-6)
    assert fsum(cause.other_seconds for cause in scaled.causes) == pytest.approx(scaled.other_seconds)
    assert "its seconds are scaled" in " ".join(section_text(increase_section(scaled)))


@pytest.mark.parametrize(("d_ff", "lies"), [(344, "above"), (172, "within")])
def test_the_ratio_is_held_against_the_bound(d_ff: int, lies: str) -> None:
    answer = increase(plan_of(BASELINE), plan_of(with_experts(LAPTOP, d_ff=d_ff)))
    assert (answer.ratio > HEALTHY_RATIO) == (lies == "above")
    assert f"That is {lies} the 1.20x" in " ".join(" ".join(section_text(increase_section(answer))).split())


def test_a_bound_for_mixtures_is_not_held_against_another_pair() -> None:
    answer = increase(plan_of(LAPTOP), plan_of(BASELINE))
    assert not answer.is_dense_to_moe
    assert increase_object(answer)["healthy_ratio"] is None


@pytest.mark.parametrize(
    ("changed", "effect"),
    [
        (with_experts(LAPTOP, dispatch="onehot"), "same"),
        (replace(LAPTOP, remat=replace(LAPTOP.remat, policy="full")), "same"),
        (replace(LAPTOP, batch=replace(LAPTOP.batch, micro=2048)), "balance"),
        (with_experts(LAPTOP, capacity_factor=None), "drops"),
        (with_experts(LAPTOP, group_size=128), "drops"),
        (with_experts(LAPTOP, top_k=1), "model"),
        (with_experts(LAPTOP, d_ff=172, capacity_factor=None), "model"),
    ],
)
def test_what_a_change_does_to_the_mathematics_is_told(changed: RunSpec, effect: str) -> None:
    assert effect_of(differences(LAPTOP, changed), changed) == effect


def test_a_change_is_one_line_of_a_spec() -> None:
    changed = with_experts(LAPTOP, capacity_factor=Fraction(9, 8), top_k=1)
    changed = replace(changed, mesh=replace(changed.mesh, axes={**changed.mesh.axes, "data": 2}))
    experts = f"model {LAPTOP.model.name} {{ experts {{ top_k = 1, capacity_factor = 1.125 }} }}"
    line = f"{experts}, mesh mesh {{ axes {{ data = 2 }} }}"
    assert spec_line(LAPTOP, changed) == line


def rewritten(pair: str, line: str) -> str:
    """The pair with a run `proposed`, which has what `line` says."""
    blocks = re.split(r"(?:^|, )(?=(?:model|mesh|run) \w+ \{)", line)
    text, fields = pair, ""
    for block in filter(None, blocks):
        kind, name, body = re.fullmatch(r"(\w+) (\w+) \{ (.*) \}", block).groups()
        if kind == "run":
            fields += f", {body}"
        else:
            text += f"{kind} new_{kind} extends {name} {{ {body} }}\n"
            fields += f", {kind} = new_{kind}"
    return f"{text}run proposed extends mixture {{ {fields.removeprefix(', ')} }}\n"


AUTO = "axes { data = auto, fsdp = auto, expert = auto, seq = auto, model = auto }"
PAIRS = {
    "written": PAIR,
    "auto": PAIR.replace("axes { fsdp = auto, expert = 4 }", AUTO).replace("micro = 128Ki", "micro = auto"),
    "dropless": PAIR.replace("capacity_factor = 1.25", "capacity_factor = dropless"),
    "names": PAIR.replace("policy = full", "policy = names, save = [ffn_hidden]"),
    "pod": PAIR.replace("h100, devices = 8", "tpu_v5p, topology = 4x4x4"),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_is_proposed_can_be_written_and_gives_the_step_that_is_told(plan_text, pair: str) -> None:
    plans = plan_text(pair)
    answer = increase(plans["twin"], plans["mixture"])
    assert {proposal.effect for proposal in answer.proposals} >= {"drops", "model"}
    assert len(answer.proposals) == 3
    for proposal in answer.proposals:
        proposed = plan_text(rewritten(pair, proposal.line))["proposed"]
        assert proposed.step_time.seconds == pytest.approx(proposal.seconds, rel=1e-9), proposal.line
        assert proposal.seconds < plans["mixture"].step_time.seconds
        assert proposal.ratio == pytest.approx(proposal.seconds / plans["twin"].step_time.seconds)


def test_a_collective_is_explained_with_its_bytes_and_devices(plan_text) -> None:
    plans = plan_text(PAIR)
    causes = increase_object(increase(plans["twin"], plans["mixture"]))["causes"]
    exchange = next(cause for cause in causes if cause["cause"] == "all-to-all over expert")
    assert exchange["first_seconds"] == 0.0
    assert "over 4 devices, most of it expert slots, there and back" in exchange["why"]


def test_a_collective_is_named_with_what_it_carries(plan_text) -> None:
    plans = plan_text(PAIR)
    printed = "\n".join(section_text(increase_section(increase(plans["twin"], plans["mixture"]))))
    assert "  all-to-all over expert (expert slots)" in printed
    assert "  all-gather over fsdp (weights)" in printed
    assert "  reduce-scatter over fsdp (gradients)" in printed


def test_tiles_that_are_not_filled_are_told_beside_the_estimate(plan_text) -> None:
    plans = plan_text(PAIR.replace("top_k = 2, d_ff = 4096", "top_k = 2, d_ff = 4100"))
    answer = increase(plans["twin"], plans["mixture"])
    assert increase_object(answer)["tile_padding"] == [
        "d_ff 4,100 is padded to 4,160 on tiles of 64, 1.5 % more expert FLOPs"
    ]
