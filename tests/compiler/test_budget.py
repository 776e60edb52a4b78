"""Budgets in every unit become whole steps; laws say what they say; schedules fit."""

from dataclasses import replace
from math import ceil

import pytest
from runs import BASELINE, EXPERTS, LAPTOP, POD, SPARSE, budget

from moec.compiler.laws import besiroglu, hoffmann
from moec.compiler.passes.ask_law import counted_params
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import BudgetPlan
from moec.compiler.typed import RunSpec


def planned(run: RunSpec) -> BudgetPlan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan.budget


def optimizer(run: RunSpec, **changes) -> RunSpec:
    return replace(run, optimizer=replace(run.optimizer, **changes))


def codes(run: RunSpec) -> set[str]:
    return {diagnostic.code for diagnostic in plan_run(run)[1]}


def test_tokens_are_rounded_up_to_whole_steps():
    one = planned(replace(BASELINE, budget=budget(tokens=1_000_000)))
    assert (one.steps, one.tokens) == (245, 245 * 4_096)


def test_whole_steps_stay_as_they_are():
    exact = planned(replace(BASELINE, budget=budget(tokens=100 * 4_096)))
    assert (exact.steps, exact.tokens) == (100, 100 * 4_096)


def test_fewer_tokens_than_a_batch_make_one_step():
    assert planned(optimizer(replace(BASELINE, budget=budget(tokens=1)), warmup_steps=0)).steps == 1


def test_steps_are_taken_as_written():
    assert planned(replace(BASELINE, budget=budget(steps=123))).tokens == 123 * 4_096


def test_training_flops_are_met_and_overshot_by_less_than_a_step():
    wanted = 10**13
    plan, _ = plan_run(replace(BASELINE, budget=budget(train_flops=wanted)))
    per_step = plan.flops.train_per_token * 4_096
    assert wanted <= plan.budget.train_flops < wanted + per_step


def test_hours_go_by_the_estimated_step_time():
    plan, _ = plan_run(replace(BASELINE, budget=budget(hours=0.5)))
    assert plan.budget.steps == ceil(1_800 / plan.step_time.seconds)
    assert not plan.step_time.calibrated


def test_chinchilla_multiplies_the_parameters_that_are_counted():
    plan, _ = plan_run(POD)
    assert plan.budget.steps == ceil(20 * plan.parameters.active / POD.batch.tokens)


def test_a_law_without_a_ratio_takes_twenty():
    written = replace(POD, budget=budget(law="chinchilla", count="active", tokens_per_param=20.0))
    silent = replace(POD, budget=budget(law="chinchilla", count="active"))
    assert planned(written) == planned(silent)


@pytest.mark.parametrize(("count", "counted"), [("active", 1_057_920), ("total", 2_643_072)])
def test_each_count_sees_its_own_parameters(count, counted):
    plan, _ = plan_run(LAPTOP)
    assert counted_params(budget(law="chinchilla", count=count), plan.tensors, plan.parameters) == counted


def test_the_dense_equivalent_of_a_sparse_model_is_its_backbone_with_one_expert():
    plan, _ = plan_run(LAPTOP)
    dense, _ = plan_run(BASELINE)
    counted = counted_params(budget(law="chinchilla", count="dense_equivalent"), plan.tensors, plan.parameters)
    assert counted == dense.parameters.total


def test_besiroglu_agrees_with_twenty_tokens_per_parameter_near_chinchilla():
    # arXiv 2404.10102, section 4: the refit agrees with the ratio of 20 that Hoffmann et al. trained Chinchilla at.
    assert 15 < besiroglu.FIT.optimal_tokens(70e9) / 70e9 < 30


def test_hoffmann_approach_three_asks_for_far_more_at_that_size():
    assert hoffmann.FIT.optimal_tokens(70e9) / 70e9 > 60


@pytest.mark.parametrize("fit", [hoffmann.FIT, besiroglu.FIT])
def test_the_fitted_optimum_is_a_minimum_at_equal_compute(fit):
    best = fit.optimal_tokens(1e9)
    losses = [fit.loss(1e9 * scale, best / scale) for scale in (0.9, 1.0, 1.1)]
    assert min(losses) == losses[1]


def test_a_fitted_law_takes_no_ratio():
    assert "MOE6101" in codes(replace(POD, budget=budget(law="hoffmann", count="active", tokens_per_param=20.0)))


def test_a_law_outside_its_fitted_range_is_doubted():
    assert "MOE6201" in codes(replace(LAPTOP, budget=budget(law="chinchilla", count="active")))
    assert "MOE6201" not in codes(POD)


@pytest.mark.parametrize(("tokens", "doubted"), [(10**8, True), (10**10, False), (10**13, True)])
def test_tokens_far_from_the_law_are_doubted_where_it_is_known(tokens, doubted):
    assert ("MOE6202" in codes(replace(POD, budget=budget(tokens=tokens)))) == doubted


def test_tokens_of_a_toy_are_not_judged_by_the_law():
    assert codes(LAPTOP) == set()


def test_automatic_warm_up_is_a_hundredth_and_at_least_one_step():
    assert planned(optimizer(BASELINE, warmup_steps="auto")).warmup_steps == 3
    assert planned(optimizer(replace(BASELINE, budget=budget(steps=5)), warmup_steps="auto")).warmup_steps == 1


def test_automatic_decay_is_a_tenth_of_a_stable_schedule():
    assert planned(optimizer(BASELINE, schedule="warmup_stable_decay")).decay_steps == 25
    assert planned(optimizer(BASELINE, schedule="constant")).decay_steps == 0
    assert planned(optimizer(BASELINE, schedule="cosine")).decay_steps == 245


def test_a_warm_up_longer_than_the_run_is_refused():
    assert "MOE6102" in codes(optimizer(BASELINE, warmup_steps=246))
    assert "MOE6102" not in codes(optimizer(BASELINE, warmup_steps=245))


def test_warm_up_and_decay_fit_into_the_run_together():
    long = optimizer(BASELINE, schedule="warmup_stable_decay", warmup_steps=46, decay_steps=200)
    assert "MOE6103" in codes(long)
    assert "MOE6103" not in codes(optimizer(long, warmup_steps=45))


def test_more_experts_hardly_change_a_budget_that_counts_active_parameters():
    few = replace(LAPTOP, budget=budget(law="chinchilla", count="active"))
    more = replace(few, model=replace(SPARSE, experts=replace(EXPERTS, n_experts=16)))
    assert 1.0 < planned(more).tokens / planned(few).tokens < 1.01
