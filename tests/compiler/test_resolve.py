"""Resolving a spec: values, defaults, blocks that name one another, and what is wrong with them."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest

from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec, TypedSpec
from moec.spec.diagnostics import Diagnostic
from moec.spec.format_value import format_expression
from moec.spec.loader import load, load_text
from moec.spec.reader import read

EDITION = "edition = 2026\n"
MODEL = """
model small {
  vocab_size = 256, seq_len = 256, n_layers = 2, d_model = 64
  attention { n_heads = 4 }
  ffn { d_ff = 4 * d_model }
}
"""
EXPERTS = "experts { n_experts = 8, top_k = 2, d_ff = 64, capacity_factor = 1.25, balance_loss = 0.01 }"
MESH = "mesh laptop { hardware = cpu, devices = 1 }\n"
BUDGET = "budget short { tokens = 1M }\n"
RUN = "run first { model = small, mesh = laptop, budget = short, batch { tokens = 4Ki } }\n"
WHOLE = MODEL + MESH + BUDGET + RUN


def resolve_text(text: str, **others: str) -> tuple[TypedSpec, tuple[Diagnostic, ...]]:
    files = {f"{name}.moe": content for name, content in others.items()}
    loaded, told = load_text("main.moe", EDITION + text, others=files)
    assert loaded is not None
    assert told == ()
    spec, doubts = read(loaded)
    typed, more = resolve(spec)
    return typed, (*(one for one in doubts if one.severity == "error"), *more)


def run_of(text: str, **others: str) -> RunSpec:
    typed, told = resolve_text(text, **others)
    assert [one.message for one in told] == []
    return typed.runs[0]


def codes(text: str, **others: str) -> list[str]:
    return [one.code for one in resolve_text(text, **others)[1]]


def with_fields(kind: str, fields: str) -> str:
    """The whole spec with more fields in its block of `kind`."""
    heads = {"model": "model small {", "mesh": "mesh laptop {", "budget": "budget short {", "run": "run first {"}
    return WHOLE.replace(heads[kind], f"{heads[kind]} {fields}, ", 1)


def test_defaults_are_filled_in_and_follow_other_fields() -> None:
    model = run_of(with_fields("model", EXPERTS).replace("d_ff = 4 * d_model", "d_ff = 256, activation = gelu")).model
    assert model.attention.n_kv_heads == 4
    assert model.attention.d_head == 16
    assert model.attention.window is None
    assert model.ffn is not None
    assert model.experts is not None
    assert model.experts.activation == "gelu"
    assert model.experts.group_size == 256
    assert model.experts.capacity_factor == Fraction(5, 4)
    assert model.experts.renormalize
    assert not model.tie_embeddings


def test_a_placement_is_handed_down_from_norm_to_ffn_to_experts() -> None:
    model = run_of(with_fields("model", f"norm {{ placement = hybrid }}, {EXPERTS}")).model
    assert model.ffn is not None
    assert model.experts is not None
    assert (model.norm.placement, model.ffn.norm, model.experts.norm) == ("hybrid", "hybrid", "hybrid")


def test_one_expert_per_token_is_not_renormalised() -> None:
    model = run_of(with_fields("model", EXPERTS.replace("top_k = 2", "top_k = 1"))).model
    assert model.experts is not None
    assert not model.experts.renormalize


def test_a_balanced_router_bias_may_do_without_balance_loss() -> None:
    experts = EXPERTS.replace("balance_loss = 0.01", "bias_update_rate = 0.001")
    model = run_of(with_fields("model", experts)).model
    assert model.experts is not None
    assert model.experts.balance_loss == 0
    assert model.experts.bias_update_rate == 0.001


def test_inherited_expressions_are_worked_out_in_the_child() -> None:
    text = WHOLE.replace("model = small", "model = wide") + "model wide extends small { d_model = 128 }\n"
    model = run_of(text).model
    assert model.name == "wide"
    assert model.ffn is not None
    assert model.ffn.d_ff == 512


def test_names_in_a_used_file_mean_what_they_mean_there() -> None:
    base = EDITION + "let width = 32\nlet unused = 1\n" + MODEL.replace("d_model = 64", "d_model = width")
    text = 'use "base.moe" as base\nlet width = 99\n' + MESH + BUDGET + RUN.replace("small", "base.small")
    run = run_of(text + "run second extends first { seed = width }\n", base=base)
    assert run.model.d_model == 32
    assert run.origins["model.d_model"].file == "base.moe"


def test_fields_of_other_blocks_can_be_used() -> None:
    run = run_of(WHOLE.replace("tokens = 1M", "tokens = 20 * small.d_model * small.attention.n_heads"))
    assert run.budget.tokens == 20 * 64 * 4
    assert run_of(WHOLE.replace("4Ki", "16 * model.seq_len")).batch.tokens == 4096


def test_fields_may_be_used_before_they_are_written() -> None:
    assert (
        run_of(WHOLE.replace("n_layers = 2, d_model = 64", "n_layers = d_model // 32, d_model = 64")).model.n_layers
        == 2
    )


@pytest.mark.parametrize(
    ("mesh", "devices", "topology"),
    [
        ("hardware = cpu, devices = 8", 8, None),
        ("hardware = tpu_v5p, topology = 8x8x8", 512, (8, 8, 8)),
        ("hardware = tpu_v5p, topology = 4x4x4, slices = 2", 128, (4, 4, 4)),
        ("hardware = tpu_v5p, topology = 4x4x4, devices = 64", 64, (4, 4, 4)),
        ("hardware = tpu_7x, topology = 4x4x4", 128, (4, 4, 4)),
        ("hardware = tpu_v5e, devices = 64", 64, (8, 8)),
        ("hardware = tpu_v5p, devices = 256", 256, (4, 8, 8)),
    ],
)
def test_devices_and_topology_follow_from_one_another(
    mesh: str, devices: int, topology: tuple[int, ...] | None
) -> None:
    found = run_of(WHOLE.replace("hardware = cpu, devices = 1", mesh)).mesh
    assert (found.devices, found.topology) == (devices, topology)


def test_axes_that_are_not_named_are_one() -> None:
    mesh = run_of(with_fields("mesh", "axes { data = auto, model = 2 }")).mesh
    assert dict(mesh.axes) == {"data": "auto", "fsdp": 1, "expert": 1, "seq": 1, "model": 2}


@pytest.mark.parametrize(
    ("budget", "field", "value"),
    [
        ("steps = 10", "steps", 10),
        ("train_flops = 1e21", "train_flops", 10**21),
        ("train_flops = 2ZFLOP", "train_flops", 2 * 10**21),
        ("hours = 12", "hours", 12.0),
        ("hours = 90min", "hours", 1.5),
        ("law = chinchilla, count = active", "tokens_per_param", 20.0),
        ("law = besiroglu, count = total", "tokens_per_param", None),
    ],
)
def test_a_budget_says_one_thing(budget: str, field: str, value: object) -> None:
    found = run_of(WHOLE.replace("tokens = 1M", budget)).budget
    assert getattr(found, field) == value
    assert sum(one is not None for one in (found.tokens, found.steps, found.train_flops, found.hours, found.law)) == 1


def test_several_sources_are_mixed_evenly_unless_it_is_said_how() -> None:
    data = 'data web { source = ["a/*.txt", "b.jsonl"], tokenizer = "t.json" }\n'
    run = with_fields("run", "data = web") + data
    found = run_of(run).data
    assert found is not None
    assert found.sources == ("a/*.txt", "b.jsonl")
    assert found.mixture == (0.5, 0.5)
    weighed = run_of(run.replace("tokenizer", "mixture = [0.7, 0.3], tokenizer")).data
    assert weighed is not None
    assert weighed.mixture == (0.7, 0.3)


def test_a_run_that_is_extended_and_has_no_model_is_a_common_part() -> None:
    text = MODEL + MESH + BUDGET + "run common { mesh = laptop, budget = short, batch { tokens = 4Ki } }\n"
    typed, told = resolve_text(text + "run a extends common { model = small }\nrun b extends a { seed = 1 }\n")
    assert told == ()
    assert [run.name for run in typed.runs] == ["a", "b"]


def test_a_run_with_errors_is_left_out_and_the_others_stay() -> None:
    typed, told = resolve_text(WHOLE + "run second extends first { batch { tokens = 0 } }\n")
    assert [run.name for run in typed.runs] == ["first"]
    assert [one.code for one in told] == ["MOE2104"]


def test_a_study_names_its_runs() -> None:
    typed, told = resolve_text(WHOLE + "study all { runs = [first], match = tokens, seeds = [1, 2] }\n")
    assert told == ()
    (study,) = typed.studies
    assert (study.runs, study.seeds, study.report) == (("first",), (1, 2), ("table", "plot", "sample"))


def test_origins_point_at_values_and_defaults_at_their_block() -> None:
    run = run_of(WHOLE)
    text = EDITION + WHOLE
    shown = {path: text[span.start : span.end] for path, span in run.origins.items()}
    assert shown["model.d_model"] == "64"
    assert shown["model.ffn.d_ff"] == "4 * d_model"
    assert shown["model.attention.qk_norm"] == "attention"
    assert shown["model.norm.eps"] == "small"
    assert shown["batch.tokens"] == "4Ki"
    assert shown["mesh.axes.expert"] == "laptop"
    assert "model.d_model" in run.written
    assert "model.norm.eps" not in run.written


def test_asserts_speak_of_the_run_and_of_nothing_else() -> None:
    text = (
        "let limit = 80GB\n"
        + WHOLE.replace("ffn {", "assert d_model % 64 == 0\n  ffn {").replace(
            "n_heads = 4", "n_heads = 4, assert d_head > 8"
        )
        + 'run second extends first { assert plan.hbm < limit / 3 : "so", assert small.d_model < batch.tokens }\n'
    )
    typed, told = resolve_text(text)
    assert told == ()
    conditions = [format_expression(one.condition) for one in typed.runs[1].asserts]
    assert conditions == [
        "plan.hbm < 80000000kB / 3",
        "model.d_model < batch.tokens",
        "model.d_model % 64 == 0",
        "model.attention.d_head > 8",
    ]
    assert typed.runs[1].asserts[0].why == "so"


def test_words_in_asserts_stay_words() -> None:
    run = run_of(with_fields("run", "assert model.ffn.activation == swiglu or gelu != model.ffn.activation"))
    shown = format_expression(run.asserts[0].condition)
    assert shown == "model.ffn.activation == swiglu or gelu != model.ffn.activation"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (WHOLE.replace("d_model = 64", "d_model = 1e30"), ["MOE2104"]),
        (WHOLE.replace("d_model = 64", "d_model = missing"), ["MOE2004"]),
        (WHOLE.replace("d_model = 64", "d_model = d_model"), ["MOE2010"]),
        (
            WHOLE.replace("d_model = 64", "d_model = n_layers, ").replace("n_layers = 2", "n_layers = d_model"),
            ["MOE2010"],
        ),
        (WHOLE.replace("n_heads = 4", "n_heads = 0"), ["MOE2104"]),
        (WHOLE.replace("n_heads = 4", ""), ["MOE2013"]),
        (WHOLE.replace("attention { n_heads = 4 }", ""), ["MOE2014"]),
        (WHOLE.replace("ffn { d_ff = 4 * d_model }", ""), ["MOE2018"]),
        (WHOLE.replace("vocab_size = 256, ", ""), ["MOE2013"]),
        (WHOLE.replace(", batch { tokens = 4Ki }", ""), ["MOE2014"]),
        (WHOLE.replace("budget = short", "budget = laptop"), ["MOE2007"]),
        (WHOLE.replace("budget = short", "budget = shrt"), ["MOE2007"]),
        (WHOLE.replace("budget = short", "budget = 3"), ["MOE2101"]),
        (WHOLE.replace("seq_len = 256", "seq_len = 4k"), ["MOE2111"]),
        (with_fields("model", "init { std = 0.1 }"), ["MOE2020"]),
        (with_fields("model", "experts { n_experts = 8, top_k = 2, d_ff = 64, capacity_factor = 1 }"), ["MOE2013"]),
        (with_fields("model", EXPERTS.replace("1.25", "dropless, group_size = 64")), ["MOE2020"]),
        (with_fields("model", EXPERTS.replace("1.25", "droples")), ["MOE2106"]),
        (with_fields("model", EXPERTS.replace("1.25", "factor")), ["MOE2004"]),
        (with_fields("model", EXPERTS.replace("1.25", "0")), ["MOE2104"]),
        (with_fields("budget", "steps = 3"), ["MOE2019"]),
        (with_fields("budget", "count = active"), ["MOE2020"]),
        (WHOLE.replace("tokens = 1M", "law = chinchilla"), ["MOE2013"]),
        (WHOLE.replace("tokens = 1M", "law = chinchilla, count = step_time"), ["MOE2013"]),
        (WHOLE.replace("tokens = 1M", "law = joint_moe, count = total"), ["MOE6107"]),
        (WHOLE.replace("tokens = 1M", "law = yun, count = dense_equivalent"), ["MOE6105"]),
        (WHOLE.replace("tokens = 1M", "law = frantar, count = nonzero"), ["MOE2013"]),
        (WHOLE.replace("tokens = 1M", "law = abnar, count = total"), ["MOE2013"]),
        (WHOLE.replace("tokens = 1M", "law = kaplan, count = total"), ["MOE2106"]),
        (WHOLE.replace("hardware = cpu", "hardware = cqu"), ["MOE2117"]),
        (WHOLE.replace("hardware = cpu", 'hardware = "../x.yaml"'), ["MOE2119"]),
        (WHOLE.replace("hardware = cpu", 'hardware = "/dev/zero"'), ["MOE2119"]),
        (with_fields("run", "seed = plan.tokens"), ["MOE2023"]),
        (with_fields("run", "assert missing < 3"), ["MOE2004"]),
        (with_fields("run", "assert small < 3"), ["MOE2024"]),
        (with_fields("run", "optimizer { schedule = constant, final_lr_ratio = 0 }"), ["MOE2020"]),
        (with_fields("run", "remat { save = [ffn_out] }"), ["MOE2020"]),
        (with_fields("run", "remat { policy = names, save = [ffn_outt] }"), ["MOE2106"]),
    ],
)
def test_each_mistake_is_told_once_and_nothing_follows_from_it(text: str, found: list[str]) -> None:
    assert codes(text) == found


def test_inherited_fields_that_lose_their_effect_take_their_default_without_a_word() -> None:
    text = with_fields("model", EXPERTS.replace("1.25", "1.25, group_size = 64")).replace(
        "model = small", "model = all"
    )
    run = run_of(text + "model all extends small { experts { capacity_factor = dropless } }\n")
    assert run.model.experts is not None
    assert run.model.experts.capacity_factor is None
    assert run.model.experts.group_size == 256


def test_mistakes_in_blocks_that_no_run_names_are_told_too() -> None:
    assert codes(MODEL.replace("n_heads = 4", "n_heads = 0")) == ["MOE2104"]
    assert codes("budget base { tokens = 1GB }\nbudget child extends base { }\n") == ["MOE2102"]


def test_a_block_that_others_extend_need_not_be_whole() -> None:
    base = MODEL.replace("d_model = 64", "").replace("model small", "model base")
    assert codes(base + "model small extends base { d_model = 64 }\n" + MESH + BUDGET + RUN) == []
    used = WHOLE.replace("seq_len = 256", "seq_len = base.ffn.d_ff")
    assert codes(base + used + "model c extends base { d_model = 8 }") == ["MOE2022"]


def test_a_let_of_a_used_file_can_be_used() -> None:
    text = 'use "base.moe" as base\n' + WHOLE.replace("n_heads = 4", "n_heads = base.heads")
    assert run_of(text, base=EDITION + "let heads = 8\n").model.attention.n_heads == 8


def test_a_hardware_file_of_the_user_s_own_is_read(tmp_path: Path) -> None:
    chip = (Path(__file__).parents[2] / "spec" / "hardware" / "h100.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        chip.replace("name: h100", "name: mine").replace("80GB", "81GB"), encoding="utf-8"
    )
    path = tmp_path / "main.moe"
    path.write_text(EDITION + WHOLE.replace("hardware = cpu", 'hardware = "mine.yaml"'), encoding="utf-8")
    loaded, _ = load(str(path))
    assert loaded is not None
    typed, told = resolve(read(loaded)[0])
    assert told == ()
    assert typed.runs[0].mesh.hardware.hbm_bytes == 81 * 10**9
    assert typed.runs[0].mesh.hardware.name == "mine.yaml"


def test_values_in_a_long_chain_are_refused_and_not_followed_to_the_end() -> None:
    chain = "let n0 = 1\n" + "".join(f"let n{number} = n{number - 1} + 1\n" for number in range(1, 3000))
    assert codes(chain + WHOLE.replace("n_layers = 2", "n_layers = n2999")) == ["MOE2112"]


def test_lists_do_not_multiply() -> None:
    bomb = "let n0 = [1, 1]\n" + "".join(f"let n{number} = [n{number - 1}, n{number - 1}]\n" for number in range(1, 15))
    before = time.process_time()
    assert set(codes(bomb + WHOLE.replace("n_layers = 2", "n_layers = len(n14)"))) == {"MOE2114"}
    assert time.process_time() - before < 1


def test_what_could_not_be_read_is_not_missed_as_well() -> None:
    text = EDITION + WHOLE.replace("attention { n_heads = 4 }", "attention { n_heads 4 }").replace(
        "mesh laptop", "mesh ("
    )
    loaded, told = load_text("main.moe", text)
    assert loaded is not None
    spec, of_names = read(loaded)
    assert len(told) >= 2
    assert (of_names, resolve(spec)[1]) == ((), ())
