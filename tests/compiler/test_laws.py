"""Laws as budgets ask them: what each counts, what it refuses, where it is doubted, and that its numbers explain
themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from runs import DENSE, EXPERTS, LAPTOP, POD, SWITCH_BASE, budget

from moec.compiler.laws import abnar, clark, frantar, joint_moe, krajewski
from moec.compiler.laws.expansion import saturated_experts
from moec.compiler.laws.law import Law, Routed, is_tie, loss_of
from moec.compiler.laws.registry import LAWS
from moec.compiler.laws.surface import Surface
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.typed import ModelSpec, RunSpec, YunCoefficients
from moec.spec.diagnostics import Diagnostic
from moec.spec.fields.budget import LAWS as WORDS

YUN = YunCoefficients(500.0, 0.35, 1.0, 0.5, 400.0, 0.28, 1.5, -0.001, 2.0, 300.0)
ROUTED = Routed(10**9, 8, 1, 1, 1.0, 0.0, None, None)


def experts(**changes: object) -> ModelSpec:
    """Switch-Base with other experts."""
    assert SWITCH_BASE.experts is not None
    return replace(SWITCH_BASE, experts=replace(SWITCH_BASE.experts, **changes))


def asked(model: ModelSpec, **given: object) -> RunSpec:
    optimizer = replace(POD.optimizer, warmup_steps="auto")
    return replace(POD, model=model, budget=budget(**given), optimizer=optimizer)


def planned(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def told(run: RunSpec, code: str) -> Diagnostic:
    return next(one for one in plan_run(run)[1] if one.code == code)


def codes(run: RunSpec) -> set[str]:
    return {one.code for one in plan_run(run)[1]}


BIG_DENSE = replace(SWITCH_BASE, experts=None)
FINE = experts(n_experts=512, d_ff=768, top_k=8)


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_every_law_carries_what_a_reader_needs(law: Law):
    assert "arXiv" in law.source
    assert law.form
    assert law.n_means
    assert law.flop_rule
    assert law.fitted.routing
    assert law.reading
    assert law.counts
    assert law.fitted.n_params[0] < law.fitted.n_params[1]
    assert law.log_base in ("none", "e", "10")


def test_the_language_names_the_laws_of_the_registry():
    assert tuple(LAWS) == WORDS


def test_few_experts_count_as_their_start_and_many_never_pass_the_end():
    assert saturated_experts(1, 2.0, 300.0) == pytest.approx(2.0)
    assert saturated_experts(1e9, 2.0, 300.0) == pytest.approx(300.0)
    many = [saturated_experts(number, 2.0, 300.0) for number in (1, 2, 8, 64, 512)]
    assert many == sorted(many)


@pytest.mark.parametrize(
    ("model", "given", "n_params"),
    [
        (SWITCH_BASE, {"law": "joint_moe", "count": "active"}, "active"),
        (SWITCH_BASE, {"law": "abnar", "count": "total", "max_sparsity": 0.985}, "total"),
        (FINE, {"law": "krajewski", "count": "total_non_embedding"}, "total - embedding"),
        (BIG_DENSE, {"law": "frantar", "count": "nonzero", "sparsity": 0.75}, "total // 4"),
    ],
)
def test_each_law_sees_the_parameters_that_it_was_fitted_with(model, given, n_params):
    plan = planned(asked(model, **given))
    counts = plan.parameters
    names = {"active": counts.active, "total": counts.total, "embedding": counts.embedding}
    assert plan.budget.tokens / plan.budget.tokens_per_param == pytest.approx(eval(n_params, {}, names), rel=1e-9)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (SWITCH_BASE, {"law": "joint_moe", "count": "active"}),
        (BIG_DENSE, {"law": "joint_moe", "count": "active"}),
        (BIG_DENSE, {"law": "krajewski", "count": "total_non_embedding"}),
        (FINE, {"law": "krajewski", "count": "total_non_embedding"}),
        (SWITCH_BASE, {"law": "abnar", "count": "total", "max_sparsity": 0.985}),
        (BIG_DENSE, {"law": "frantar", "count": "nonzero", "sparsity": 0.5}),
        (SWITCH_BASE, {"law": "yun", "count": "dense_equivalent", "coefficients": YUN}),
        (BIG_DENSE, {"law": "besiroglu", "count": "total"}),
    ],
)
def test_tokens_and_loss_can_be_worked_out_from_what_stands_beside_them(model, given):
    plan = planned(asked(model, **given))
    rows = {row.name: row for row in plan.derivations}
    for name in ("steps", "law.loss"):
        row = rows[name]
        worked_out = eval(row.formula, {"__builtins__": {}}, {"ceil": math.ceil, **row.inputs})
        assert worked_out == pytest.approx(float(row.value), rel=1e-12)
    assert 1.0 < float(rows["law.loss"].value) < 6.0


@pytest.mark.parametrize(
    ("model", "given", "why"),
    [
        (SWITCH_BASE, {"law": "clark", "count": "dense_equivalent"}, "130B tokens"),
        (
            SWITCH_BASE,
            {"law": "krajewski", "count": "total_non_embedding"},
            "128 experts of granularity 1 have 128 times",
        ),
        (SWITCH_BASE, {"law": "abnar", "count": "total", "max_sparsity": 0.9}, "`max_sparsity` allows 0.9"),
        (SWITCH_BASE, {"law": "frantar", "count": "nonzero", "sparsity": 0.5}, "this one has experts"),
        (
            BIG_DENSE,
            {"law": "yun", "count": "dense_equivalent", "coefficients": replace(YUN, d=0.5)},
            "no number of tokens",
        ),
    ],
)
def test_a_law_is_not_asked_beyond_what_it_defines(model, given, why):
    run = asked(model, **given)
    assert plan_run(run)[0] is None
    assert why in told(run, "MOE6104").notes[0]


@pytest.mark.parametrize(
    ("model", "doubts"),
    [
        (experts(n_experts=128), {"128 experts; fitted up to 32", "top_k = 2; fitted with 1"}),
        (experts(n_experts=16, top_k=1, every=1, offset=0), set()),
        (BIG_DENSE, set()),
    ],
)
def test_a_law_outside_what_it_was_fitted_on_is_doubted_for_each_thing(model, doubts):
    model = replace(model, ffn=None) if model.experts and model.experts.every == 1 else model
    run = asked(model, law="joint_moe", count="active")
    found = [one for one in plan_run(run)[1] if one.code == "MOE6201"]
    said = {text for one in found for text in (one.label, *one.notes)}
    assert doubts <= said
    assert bool(doubts) == bool(found)


@pytest.mark.parametrize(
    ("model", "given", "doubt"),
    [
        (SWITCH_BASE, {"law": "abnar", "count": "total", "max_sparsity": 0.99}, "left out 0.984; fitted up to 0.98"),
        (
            experts(n_experts=2048, d_ff=192, top_k=32),
            {"law": "krajewski", "count": "total_non_embedding"},
            "granularity 32; fitted up to 16",
        ),
        (
            BIG_DENSE,
            {"law": "yun", "count": "dense_equivalent", "coefficients": replace(YUN, c=4000.0)},
            "tokens; fitted from 2.50 B to 20.0 B",
        ),
    ],
)
def test_every_range_that_is_stated_is_looked_at(model, given, doubt):
    found = told(asked(model, **given), "MOE6201")
    assert any(doubt in text for text in (found.label, *found.notes))


def test_flops_and_a_law_are_too_much_for_a_model_with_sizes():
    assert "MOE6108" in codes(asked(BIG_DENSE, law="joint_moe", count="active", train_flops=10**20))


def test_pruning_more_leaves_less_to_train():
    dense, sparse = (
        planned(asked(BIG_DENSE, law="frantar", count="nonzero", sparsity=share)).budget.tokens for share in (0.0, 0.75)
    )
    assert sparse < dense


def test_a_looser_bound_on_sparsity_lets_a_sparser_model_pass_and_changes_nothing_else():
    loose, looser = (asked(SWITCH_BASE, law="abnar", count="total", max_sparsity=bound) for bound in (0.985, 0.99))
    assert planned(loose).budget == planned(looser).budget
    assert plan_run(replace(loose, budget=replace(loose.budget, max_sparsity=0.98)))[0] is None


def test_sparsity_always_pays_in_the_law_that_needs_a_bound():
    losses = [abnar.surface_for(sparsity).loss(1e9 / (1 - sparsity), 2e10) for sparsity in (0.0, 0.5, 0.9, 0.98)]
    assert losses == sorted(losses, reverse=True)


def test_losses_closer_than_the_error_of_the_law_are_ties():
    assert is_tie(joint_moe.LAW, 2.300, 2.3038)
    assert not is_tie(joint_moe.LAW, 2.300, 2.3041)
    assert not is_tie(LAWS["besiroglu"], 2.3, 2.3001)


def test_a_law_predicts_a_loss_only_where_it_has_one():
    assert loss_of(joint_moe.LAW, ROUTED, 1e10) == pytest.approx(joint_moe.surface_for(8).loss(1e9, 1e10))
    assert loss_of(LAWS["chinchilla"], ROUTED, 1e10) is None
    assert loss_of(clark.LAW, ROUTED, 1e10) is None


def test_a_dense_model_has_the_dense_fit_of_the_fine_grained_law():
    dense = replace(ROUTED, n_experts=1)
    assert krajewski.surface(dense) == krajewski.DENSE


def test_a_model_without_zeros_is_where_the_law_of_pruning_begins():
    surface = frantar.surface_for(frantar.FITS["t5_c4"], 0.0)
    assert surface.terms[0].a == pytest.approx(16.8 + 45.0)
    assert isinstance(frantar.surface(replace(ROUTED, n_experts=1)), Surface)


def test_a_router_of_one_choice_is_worth_more_parameters_than_its_backbone_has():
    one = replace(EXPERTS, top_k=1, renormalize=False, order="score_then_topk", capacity_factor=Fraction(5, 4))
    rows = {row.name: row for row in planned(replace(LAPTOP, model=replace(DENSE, experts=one))).derivations}
    effective = rows["params.effective"]
    assert float(effective.value) > effective.inputs["n_params"]
    assert "params.effective" not in {row.name for row in planned(LAPTOP).derivations}
