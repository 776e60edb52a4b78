"""The FLOP table against published active parameters and against counting by hand."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from runs import ATTENTION, BASELINE, EXPERTS, GPU, LAPTOP, POD, SPARSE, mesh

from moec.compiler.formulas import flops as formulas
from moec.compiler.formulas.capacity import onehot_overhead
from moec.compiler.formulas.flops import mean_computed_keys, mean_visible_keys
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import FlopCounts
from moec.compiler.typed import RunSpec


def flops(run: RunSpec) -> FlopCounts:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan.flops


def row(counts: FlopCounts, operation: str):
    return next(one for one in counts.rows if one.operation == operation)


def with_experts(**changes) -> RunSpec:
    return replace(LAPTOP, model=replace(SPARSE, experts=replace(EXPERTS, **changes)))


def test_switch_base_multiplies_with_its_published_active_weights():
    matmuls = [one for one in flops(POD).rows if one.operation != "attention scores, values"]
    assert sum(one.ideal_flops_per_token for one in matmuls) == 2 * 674_365_440


def test_causal_attention_is_half_of_the_full_square():
    scores = row(flops(BASELINE), "attention scores, values")
    assert scores.ideal_flops_per_token == 4 * (4 * 256 * 4 * 32) // 2


@pytest.mark.parametrize(("window", "keys"), [(None, 128), (256, 128), (1, Fraction(511, 512)), (64, 56)])
def test_a_window_sees_its_trapezium(window, keys):
    assert mean_visible_keys(256, window) == keys


def test_the_window_formula_is_the_mean_of_the_visible_keys_up_to_half_a_key():
    seq_len, window = 256, 64
    counted = Fraction(sum(min(position, window) for position in range(1, seq_len + 1)), seq_len)
    assert abs(counted - mean_visible_keys(seq_len, window)) <= Fraction(1, 2)


@pytest.mark.parametrize(("seq_len", "window"), [(200, None), (256, None), (512, 64)])
def test_bands_compute_the_keys_that_counting_them_finds(seq_len, window):
    pairs = 0
    for query in range(seq_len):
        start = query // 64 * 64
        first = 0 if window is None else max(0, start - window + 1)
        pairs += min(start + 64, seq_len) - first
    assert mean_computed_keys(seq_len, window, "blockwise") == Fraction(pairs, seq_len)


@pytest.mark.parametrize(
    ("seq_len", "window", "block"),
    [(1_024, None, 128), (1_024, 200, 128), (1_300, 300, 163), (2_048, 1, 256), (9_000, 4_096, 500)],
)
def test_blocks_compute_the_pairs_in_which_a_query_sees_a_key(seq_len, window, block):
    assert formulas.block_length(seq_len) == block
    reach = seq_len if window is None else window
    seen = set()
    for query in range(-(-seq_len // block) * block):
        seen |= {(query // block, key // block) for key in range(max(0, query - reach + 1), query + 1, block)}
        seen |= {(query // block, query // block)}
    assert mean_computed_keys(seq_len, window, "blockwise") == Fraction(len(seen) * block**2, seq_len)


@pytest.mark.parametrize("name", ["BAND", "KEPT_LENGTH", "BLOCKS", "SMALLEST_BLOCK", "LARGEST_BLOCK"])
def test_the_compiler_and_the_runtime_agree_on_bands_and_blocks(name):
    runtime = Path(__file__).parents[2] / "runtime"
    files = (runtime / "attention_kernels.py", runtime / "attention_blocks.py")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert f"\n{name} = {getattr(formulas, name)}\n" in text


def test_scores_of_long_sequences_are_made_again_in_blocks():
    kept, again = (flops(replace(BASELINE, model=replace(BASELINE.model, seq_len=length))) for length in (512, 1_024))
    assert kept.executed_train_per_token == kept.conventions["padded"]
    half = Fraction(row(again, "attention scores, values").executed_flops_per_token) / 2
    assert again.executed_train_per_token == again.conventions["padded"] + half


def test_a_fused_kernel_is_charged_for_what_is_seen_only():
    assert mean_computed_keys(4_096, None, "cudnn") == mean_visible_keys(4_096, None)
    assert mean_computed_keys(4_096, None, "reference") == 4_096


def test_training_is_three_times_forward():
    counts = flops(LAPTOP)
    assert counts.train_per_token == 3 * counts.forward_per_token
    assert counts.forward_per_token == sum(one.ideal_flops_per_token for one in counts.rows)


def test_empty_slots_are_executed_but_not_ideal():
    experts = row(flops(with_experts(grouped_matmul="batched")), "experts")
    assert experts.ideal_flops_per_token == 2 * (2 * 3 * 128 * 344 * 2)
    assert experts.executed_flops_per_token == experts.ideal_flops_per_token * Fraction(5, 4)


def test_dropless_experts_execute_what_is_ideal():
    experts = row(flops(with_experts(capacity_factor=None)), "experts")
    assert experts.executed_flops_per_token == experts.ideal_flops_per_token


def test_one_hot_dispatch_costs_two_thirds_of_group_over_width():
    counts = flops(with_experts(dispatch="onehot"))
    dispatch, experts = row(counts, "dispatch, combine"), row(counts, "experts")
    assert dispatch.ideal_flops_per_token == 0
    assert Fraction(dispatch.executed_flops_per_token) / experts.executed_flops_per_token == Fraction(2 * 256, 3 * 344)
    assert onehot_overhead(256, 344, 3) == Fraction(2 * 256, 3 * 344)


def test_sorted_dispatch_costs_nothing():
    assert all(one.operation != "dispatch, combine" for one in flops(LAPTOP).rows)


def test_logits_are_made_once_in_chunks_too():
    counts = flops(replace(BASELINE, model=replace(BASELINE.model, vocab_size=2**20)))
    assert counts.executed_train_per_token == counts.conventions["padded"]


def test_scores_that_nobody_keeps_are_made_again():
    attention = replace(ATTENTION, kernel="cudnn")
    fused = replace(BASELINE.model, attention=attention, dtype=replace(BASELINE.model.dtype, compute="bfloat16"))
    counts = flops(replace(BASELINE, model=fused, mesh=mesh(GPU)))
    scores = next(one for one in counts.rows if one.operation == "attention scores, values")
    again = Fraction(scores.executed_flops_per_token) / 2
    assert counts.executed_train_per_token == counts.conventions["padded"] + again


def remade(run: RunSpec, **remat) -> dict[str, Fraction]:
    """What each operation multiplies again, by name."""
    counts = flops(replace(run, remat=replace(run.remat, **remat)))
    assert counts.train_per_token == flops(run).train_per_token
    assert counts.executed_train_per_token == counts.conventions["padded"] + sum(
        one.recomputed_flops_per_token for one in counts.rows
    )
    return {one.operation: Fraction(one.recomputed_flops_per_token) for one in counts.rows}


def test_full_remat_makes_every_layer_again_but_the_head_and_the_last_products_that_nothing_reads():
    unrolled = with_experts(n_shared_experts=3)
    unrolled = replace(unrolled, layers=replace(unrolled.layers, scan=False))
    again = remade(unrolled, policy="full")
    forward = {one.operation: one.executed_flops_per_token for one in flops(unrolled).rows}
    assert again.pop("head") == 0
    for operation in ("ffn", "shared experts"):
        assert again.pop(operation) == Fraction(2, 3) * forward[operation]
    assert all(again[operation] == forward[operation] for operation in again)


def test_a_norm_behind_a_feed_forward_layer_reads_its_last_product():
    ffn = replace(BASELINE.model.ffn, norm="post")
    run = replace(BASELINE, model=replace(BASELINE.model, ffn=ffn))
    assert remade(run, policy="full")["ffn"] == row(flops(run), "ffn").executed_flops_per_token


def test_a_period_that_ends_with_experts_makes_its_dense_layers_whole():
    run = replace(LAPTOP, layers=replace(LAPTOP.layers, scan=True))
    assert remade(run, policy="full")["ffn"] == row(flops(run), "ffn").executed_flops_per_token


@pytest.mark.parametrize(
    ("name", "operation", "left"),
    [
        ("attention_out", "attention o", 0),
        ("ffn_out", "ffn", Fraction(2, 3)),
        ("expert_out", "experts", Fraction(2, 3)),
    ],
)
def test_what_a_name_keeps_is_not_multiplied_again(name, operation, left):
    run = with_experts(grouped_matmul="batched")
    forward = row(flops(run), operation).executed_flops_per_token
    assert remade(run, policy="names", save=(name,))[operation] == left * forward
    tiles = with_experts(grouped_matmul="tiles")
    whole = row(flops(tiles), "experts").executed_flops_per_token
    assert remade(tiles, policy="names", save=("expert_out",))["experts"] == whole


def test_each_convention_is_what_its_name_says():
    plan, _ = plan_run(BASELINE)
    conventions, total = plan.flops.conventions, plan.parameters.total
    table = 256 * 128
    assert conventions["6_n_total"] == 6 * total
    assert conventions["palm"] == 6 * (total - table) + 12 * 4 * 4 * 32 * 256
    assert conventions["ideal_causal"] == plan.flops.train_per_token


def test_shared_experts_are_counted_by_their_number():
    shared = row(flops(with_experts(n_shared_experts=3)), "shared experts")
    assert shared.ideal_flops_per_token == 2 * 2 * 3 * 128 * 344 * 3


def test_an_ungated_activation_has_two_matrices():
    gelu = row(flops(with_experts(activation="gelu")), "experts")
    assert gelu.ideal_flops_per_token == 2 * (2 * 2 * 128 * 344 * 2)
