"""Parameter counts against published totals and against the closed forms of arithmetic."""

from dataclasses import replace
from math import sqrt

import pytest
from runs import ATTENTION, BASELINE, DENSE, EXPERTS, FFN, LAPTOP, SPARSE, SWITCH_BASE

from moec.compiler.passes.arrange_layers import arrange_layers
from moec.compiler.passes.count_parameters import count_parameters
from moec.compiler.passes.declare_tensors import declare_tensors
from moec.compiler.plan import ParameterCounts, TensorPlan
from moec.compiler.typed import ModelSpec


def tensors_of(model: ModelSpec) -> tuple[TensorPlan, ...]:
    run = replace(LAPTOP, model=model)
    stack, told = arrange_layers(run)
    assert not told
    return declare_tensors(run, stack)


def count(model: ModelSpec) -> ParameterCounts:
    return count_parameters(tensors_of(model))


def tensor(model: ModelSpec, owner: str, name: str) -> TensorPlan:
    return next(one for one in tensors_of(model) if (one.owner, one.name) == (owner, name))


def switch(n_layers: int, d_model: int, n_heads: int, n_kv_heads: int, d_ff: int, n_experts: int) -> ModelSpec:
    return replace(
        SWITCH_BASE,
        n_layers=n_layers,
        d_model=d_model,
        attention=replace(SWITCH_BASE.attention, n_heads=n_heads, n_kv_heads=n_kv_heads),
        ffn=replace(SWITCH_BASE.ffn, d_ff=d_ff),
        experts=replace(SWITCH_BASE.experts, n_experts=n_experts, d_ff=d_ff),
    )


QWEN3_30B_A3B = replace(
    DENSE,
    vocab_size=151_936,
    n_layers=48,
    d_model=2_048,
    attention=replace(ATTENTION, n_heads=32, n_kv_heads=4, d_head=128, qk_norm=True),
    ffn=None,
    experts=replace(EXPERTS, n_experts=128, top_k=8, d_ff=768, every=1, capacity_factor=None),
)
MIXTRAL_8X7B = replace(
    DENSE,
    vocab_size=32_000,
    n_layers=32,
    d_model=4_096,
    attention=replace(ATTENTION, n_heads=32, n_kv_heads=8, d_head=128),
    ffn=None,
    experts=replace(EXPERTS, n_experts=8, top_k=2, d_ff=14_336, every=1, capacity_factor=None),
)
LLAMA3_8B = replace(
    DENSE,
    vocab_size=128_256,
    n_layers=32,
    d_model=4_096,
    attention=replace(ATTENTION, n_heads=32, n_kv_heads=8, d_head=128),
    ffn=replace(FFN, d_ff=14_336),
)
FAIRSEQ_MOE = replace(
    DENSE,
    vocab_size=50_000,
    n_layers=24,
    d_model=2_048,
    tie_embeddings=True,
    norm=replace(DENSE.norm, kind="layernorm"),
    attention=replace(ATTENTION, n_heads=32, n_kv_heads=32, d_head=64, bias=True),
    ffn=replace(FFN, d_ff=8_192, activation="gelu", bias=True),
    experts=replace(EXPERTS, n_experts=8, d_ff=8_192, activation="gelu", bias=True),
)


@pytest.mark.parametrize(
    ("model", "total"),
    [
        pytest.param(SWITCH_BASE, 22_077_958_656, id="switch_base"),
        pytest.param(switch(24, 2_048, 16, 16, 8_192, 128), 78_386_454_528, id="switch_large"),
        pytest.param(switch(24, 8_192, 64, 8, 20_480, 64), 396_486_064_128, id="switch_xxl"),
        pytest.param(QWEN3_30B_A3B, 30_532_122_624, id="qwen3_30b_a3b"),
        pytest.param(MIXTRAL_8X7B, 46_702_792_704, id="mixtral_8x7b"),
        pytest.param(LLAMA3_8B, 8_030_261_248, id="llama3_8b"),
        pytest.param(FAIRSEQ_MOE, 908_423_168 + 8 * 402_776_064, id="fairseq_moe"),
    ],
)
def test_totals_are_those_of_the_released_models(model, total):
    assert count(model).total == total


def test_qwen3_activates_three_billion_with_both_tables_and_every_norm():
    counts = count(QWEN3_30B_A3B)
    assert counts.active == 3_353_032_704
    assert counts.embedding == 2 * 151_936 * 2_048
    assert counts.by_role["norm"] == 48 * (2 * 2_048 + 2 * 128) + 2_048


def test_mixtral_activates_thirteen_billion():
    # arXiv 2401.04088, section 1: 13B of 47B.
    assert round(count(MIXTRAL_8X7B).active / 1e9) == 13


def test_the_hand_written_laptop_program_has_the_same_shapes():
    shapes = {(one.owner, one.name): one.shape for one in tensors_of(SPARSE)}
    assert shapes[("Attention", "w_q")] == (128, 4, 32)
    assert shapes[("Attention", "w_k")] == (128, 2, 32)
    assert shapes[("Attention", "w_o")] == (4, 32, 128)
    assert shapes[("Experts", "w_down")] == (8, 344, 128)
    assert shapes[("Model", "w_head")] == (128, 256)


def test_a_tied_model_has_one_table_and_no_head():
    tied, untied = count(replace(DENSE, tie_embeddings=True)), count(DENSE)
    assert untied.total - tied.total == 256 * 128
    assert "head" not in tied.by_role


def test_hybrid_norms_stand_behind_the_branch_as_well():
    hybrid = replace(DENSE, ffn=replace(FFN, norm="hybrid"))
    names = [one.name for one in tensors_of(hybrid) if one.owner == "DenseBlock"]
    assert names == ["attention_norm", "ffn_norm", "ffn_norm_after"]


def test_post_norms_are_as_many_as_pre_norms():
    post = replace(DENSE, norm=replace(DENSE.norm, placement="post"), ffn=replace(FFN, norm="post"))
    assert count(post).total == count(DENSE).total


def test_layer_norms_have_a_bias_and_rms_norms_do_not():
    layernorm = replace(DENSE, norm=replace(DENSE.norm, kind="layernorm"))
    assert count(layernorm).total - count(DENSE).total == 128 * (2 * 4 + 1)


def test_shared_experts_are_one_layer_of_their_summed_width():
    shared = replace(SPARSE, experts=replace(EXPERTS, n_shared_experts=2))
    assert tensor(shared, "SharedExperts", "w_up").shape == (128, 2 * 344)
    grown = count(shared).total - count(SPARSE).total
    assert grown == 2 * 3 * 128 * 2 * 344
    assert count(shared).active - count(SPARSE).active == grown


def test_a_router_bias_is_made_but_neither_trained_nor_counted():
    balanced = replace(SPARSE, experts=replace(EXPERTS, bias_update_rate=0.001))
    bias = tensor(balanced, "Experts", "router_bias")
    assert (bias.shape, bias.dtype, bias.trainable, bias.decay) == ((8,), "float32", False, False)
    assert count(balanced).total == count(SPARSE).total


def test_the_router_stays_in_float32_whatever_the_weights_are_in():
    half = replace(SPARSE, dtype=replace(SPARSE.dtype, params="bfloat16"))
    assert tensor(half, "Experts", "w_router").dtype == "float32"
    assert tensor(half, "Experts", "w_up").dtype == "bfloat16"


def test_initial_scales_are_those_of_the_hand_written_program():
    assert tensor(SPARSE, "Attention", "w_q").std == pytest.approx(0.0883883, rel=1e-5)
    assert tensor(SPARSE, "Attention", "w_o").std == pytest.approx(0.03125, rel=1e-5)
    assert tensor(SPARSE, "Experts", "w_down").std == pytest.approx(0.0190626, rel=1e-4)
    assert tensor(SPARSE, "Model", "w_embed").std == 1.0


def test_normal_initialisation_uses_one_scale_and_depth_divides_only_outputs():
    normal = replace(DENSE, init=replace(DENSE.init, kind="normal", std=0.006))
    assert tensor(normal, "Ffn", "w_up").std == 0.006
    assert tensor(normal, "Ffn", "w_down").std == pytest.approx(0.006 / sqrt(8))
    flat = replace(normal, init=replace(normal.init, depth_scaled=False))
    assert tensor(flat, "Ffn", "w_down").std == 0.006


def test_matrices_decay_and_vectors_do_not():
    for one in tensors_of(FAIRSEQ_MOE):
        is_bias = one.name.startswith("b_")
        assert one.decay == (one.role != "norm" and not is_bias), one.name


def test_a_dense_model_is_active_in_whole():
    counts = count(BASELINE.model)
    assert counts.active == counts.total
