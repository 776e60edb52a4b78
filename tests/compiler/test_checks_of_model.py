"""What is refused about a model and its routing: one row per mistake, with the numbers that the user must see."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from runs import ATTENTION, BASELINE, EXPERTS, LAPTOP, mesh

from moec.compiler.pipeline import plan_run
from moec.compiler.typed import RunSpec
from moec.spec.diagnostics import Diagnostic
from moec.spec.source import Span


def model(run: RunSpec, **changes) -> RunSpec:
    return replace(run, model=replace(run.model, **changes))


def attention(**changes) -> RunSpec:
    return model(BASELINE, attention=replace(ATTENTION, **changes))


def experts(**changes) -> RunSpec:
    return model(LAPTOP, experts=replace(EXPERTS, **changes))


def on(run: RunSpec, devices: int, **axes) -> RunSpec:
    return replace(run, mesh=mesh(devices=devices, **axes))


def told(run: RunSpec) -> Mapping[str, Diagnostic]:
    _, diagnostics = plan_run(run)
    return {diagnostic.code: diagnostic for diagnostic in diagnostics}


def words(diagnostic: Diagnostic) -> str:
    return "\n".join((diagnostic.message, diagnostic.label, *diagnostic.helps, *diagnostic.notes))


@pytest.mark.parametrize(
    ("run", "code", "shown"),
    [
        (attention(n_kv_heads=3), "MOE3101", "n_kv_heads = 2 or 4"),
        (model(attention(n_heads=32, n_kv_heads=32, d_head=128), d_model=4_100), "MOE3102", "d_model = 4096 or 4128"),
        (attention(d_head=33), "MOE3103", "d_head = 32 or 34"),
        (replace(model(LAPTOP, n_layers=5), layers=replace(LAPTOP.layers, scan=True)), "MOE3104", "n_layers = 4 or 6"),
        (model(LAPTOP, ffn=None), "MOE3105", "layer 1 has no experts"),
        (experts(every=5), "MOE3106", "the first would be layer 5"),
        (experts(first_dense=4), "MOE3106", "the first would be layer 6"),
        (experts(offset=2), "MOE3107", "write offset = 0"),
        (experts(every=1), "MOE3108", "remove `ffn`"),
        (attention(window=256), "MOE3109", "256 tokens of 256"),
        (model(BASELINE, n_layers=10**12), "MOE3110", "1,000,000,000,000 layers"),
        (experts(top_k=9), "MOE5101", "9 is more than 8"),
        (experts(n_experts=1_024, group_size=128), "MOE5102", "group_size at least 410"),
        (experts(group_size=96), "MOE5103", "group_size = 64 or 128"),
        (experts(group_size=384), "MOE5103", "group_size = 256 or 512"),
        (on(experts(group_size=256), 2, seq=2), "MOE5104", "group_size = 128"),
        (on(experts(group_size=2_048), 4, data=4), "MOE5105", "2048 tokens do not divide 1024"),
        (experts(capacity_factor=None, dispatch="onehot"), "MOE5106", "leave `dispatch` to `auto`"),
        (experts(capacity_factor=None, grouped_matmul="batched"), "MOE5106", "leave `grouped_matmul` to `auto`"),
        (on(experts(capacity_factor=None, dispatch="sorted"), 2, expert=2), "MOE5107", "leave `dispatch` to `auto`"),
        (experts(score="sigmoid"), "MOE5108", "weight 0.001"),
        (experts(renormalize=False), "MOE5109", "score_then_topk"),
        (on(experts(grouped_matmul="tiles"), 2, expert=2), "MOE5110", "leave `grouped_matmul` to `auto`"),
        (experts(grouped_matmul="megablox"), "MOE7102", "write grouped_matmul = auto"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("MOE") else "",
)
def test_a_mistake_is_refused_with_numbers_and_a_way_out(run, code, shown):
    diagnostic = told(run)[code]
    assert diagnostic.severity == "error"
    assert shown in words(diagnostic)
    assert plan_run(run)[0] is None


@pytest.mark.parametrize(
    ("run", "code", "shown"),
    [
        (experts(capacity_factor=Fraction(1)), "MOE9101", "2 for top_k 2"),
        (experts(balance_loss=0.0), "MOE9102", "balance_loss = 0.01"),
        (experts(top_k=1), "MOE9103", "divides the one weight by itself"),
        (experts(top_k=1, renormalize=False), "MOE9103", "a softmax over one logit is 1"),
        (experts(top_k=8), "MOE9104", "8 of 8"),
        (experts(dispatch="onehot"), "MOE9201", "make group_size at most 51"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("MOE") else "",
)
def test_a_doubt_is_told_and_does_not_stop_the_plan(run, code, shown):
    diagnostic = told(run)[code]
    assert diagnostic.severity == "warning"
    assert shown in words(diagnostic)
    assert plan_run(run)[0] is not None


@pytest.mark.parametrize(
    "run",
    [
        experts(group_size=64),
        experts(group_size=1_024),
        experts(score="sigmoid", z_loss=0.0),
        experts(order="score_then_topk", renormalize=False),
        experts(balance_loss=0.0, bias_update_rate=0.001),
        experts(capacity_factor=None, group_size=100),
        on(experts(capacity_factor=None), 2, expert=2),
        on(experts(group_size=128), 2, seq=2),
        attention(d_head=64),
        model(LAPTOP, n_layers=5),
    ],
)
def test_what_is_near_a_mistake_but_sound_is_not_remarked_on(run):
    assert told(run) == {}


def test_a_written_head_width_may_differ_from_the_share_of_the_model():
    run = attention(n_heads=3, n_kv_heads=3, d_head=42)
    assert "MOE3102" in told(run)
    assert "MOE3102" not in told(replace(run, written=frozenset({"model.attention.d_head"})))


def test_several_mistakes_are_told_at_once():
    run = on(model(experts(top_k=9, group_size=96), attention=replace(ATTENTION, n_kv_heads=3)), 8, data=4)
    assert set(told(run)) == {"MOE3101", "MOE5101", "MOE4101"}
    assert {"MOE3101", "MOE5101", "MOE5103"} <= set(told(on(run, 1)))


def test_both_places_of_a_conflict_are_shown():
    heads, kv_heads = Span("x.moe", 3, 4), Span("x.moe", 8, 9)
    origins = {"model.attention.n_heads": heads, "model.attention.n_kv_heads": kv_heads}
    diagnostic = told(replace(attention(n_kv_heads=3), origins=origins))["MOE3101"]
    assert diagnostic.span == kv_heads
    assert [label.span for label in diagnostic.others] == [heads]


def test_a_dense_model_and_a_sparse_one_are_sound_as_they_are():
    assert told(BASELINE) == {}
    assert told(LAPTOP) == {}
