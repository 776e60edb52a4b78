"""Bytes per device, and the step time that follows from bytes and FLOPs."""

from dataclasses import replace

import pytest
from runs import BASELINE, CPU, FFN, GPU, LAPTOP, POD, TPU, mesh

from moec.compiler.formulas.memory import activation_bytes, bytes_by_name, factored_elements, stem
from moec.compiler.formulas.roofline import compute_bound_rows, matmul_flops_per_second, peak_flops_per_second
from moec.compiler.passes.estimate_memory import logits_at_work, moments, weight_memory
from moec.compiler.passes.layer_memory import LayerMemory, layer_memory
from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.typed import RematSpec, RunSpec


def planned(run: RunSpec) -> Plan:
    plan, told = plan_run(run)
    assert plan is not None, told
    return plan


def on(run: RunSpec, devices: int = 8, **axes: int) -> RunSpec:
    return replace(run, mesh=mesh(devices=devices, **axes))


def with_optimizer(kind: str) -> Plan:
    return planned(replace(BASELINE, optimizer=replace(BASELINE.optimizer, kind=kind)))


def with_remat(policy: str, save: tuple[str, ...] = (), offload: tuple[str, ...] = ()) -> int:
    return planned(replace(LAPTOP, remat=RematSpec(policy, save, offload))).memory.activations


def test_a_device_alone_holds_every_weight_in_float32():
    plan = planned(BASELINE)
    assert plan.memory.params == plan.memory.gradients == 4 * plan.parameters.total


def test_the_total_is_the_sum_of_its_parts():
    memory = planned(POD).memory
    assert memory.total == memory.params + memory.gradients + memory.optimizer + memory.activations


def test_data_parallel_copies_and_fsdp_cuts():
    alone, data, fsdp = planned(BASELINE), planned(on(BASELINE, data=8)), planned(on(BASELINE, fsdp=8))
    norms = alone.parameters.by_role["norm"]
    assert data.memory.params == alone.memory.params
    assert fsdp.memory.params == 4 * ((alone.parameters.total - norms) // 8 + norms)


def test_the_expert_axis_cuts_experts_only():
    alone, sharded = planned(LAPTOP), planned(on(LAPTOP, expert=8))
    experts = alone.parameters.by_role["experts"]
    assert alone.memory.params - sharded.memory.params == 4 * experts * 7 // 8


@pytest.mark.parametrize(("kind", "states"), [("adamw", 2), ("lion", 1)])
def test_moments_are_as_many_as_the_optimizer_keeps(kind, states):
    plan = with_optimizer(kind)
    assert plan.memory.optimizer == states * 4 * plan.parameters.total


def test_muon_keeps_one_moment_for_matrices_and_two_for_tables_and_vectors():
    plan = with_optimizer("muon")
    roles = plan.parameters.by_role
    twice = roles["embedding"] + roles["head"] + roles["norm"]
    assert plan.memory.optimizer == 4 * (plan.parameters.total + twice)


def test_adafactor_keeps_rows_and_columns():
    assert factored_elements((128, 344)) == 128 + 344
    assert factored_elements((8, 128, 344)) == 8 * (128 + 344)
    assert factored_elements((128,)) == 128
    assert with_optimizer("adafactor").memory.optimizer < with_optimizer("lion").memory.optimizer // 20


def test_accumulating_over_micro_batches_keeps_a_second_gradient():
    micro = planned(replace(BASELINE, batch=replace(BASELINE.batch, micro=1_024)))
    assert micro.memory.gradients == 2 * planned(BASELINE).memory.gradients


def test_smaller_micro_batches_keep_less():
    micro = planned(replace(BASELINE, batch=replace(BASELINE.batch, micro=1_024)))
    assert micro.memory.activations < planned(BASELINE).memory.activations // 2


def test_each_policy_keeps_less_than_the_one_before():
    assert with_remat("none") > with_remat("save_dots") > with_remat("full")


def test_a_named_activation_is_kept_and_not_made_again():
    hidden = next(one for one in planned(LAPTOP).activations if stem(one) == "ffn_hidden")
    full, named = layer_of(LAPTOP, "dense", "full"), layer_of(LAPTOP, "dense", "names", save=("ffn_hidden",))
    size = activation_bytes(hidden, planned(LAPTOP).mesh.axes)
    assert (named.kept - full.kept, full.remade - named.remade) == (size, size)
    assert layer_of(LAPTOP, "moe", "names", save=("ffn_hidden",)) == layer_of(LAPTOP, "moe", "full")


def layer_of(run: RunSpec, kind: str, policy: str, save: tuple[str, ...] = ()) -> LayerMemory:
    plan = planned(replace(run, remat=RematSpec(policy, save, ())))
    return layer_memory(plan.run, plan.stack, plan.mesh, plan.activations, kind)


def test_save_dots_keeps_the_matmuls_of_weights_and_makes_the_rest_again():
    plan = planned(LAPTOP)
    sizes = bytes_by_name(plan.activations, plan.mesh.axes)
    dots = layer_of(LAPTOP, "dense", "save_dots")
    kept = ("q", "k", "v", "attention_out", "ffn_gate", "ffn_up")
    assert dots.kept == sum(sizes[name] for name in kept)
    normed = replace(LAPTOP, model=replace(LAPTOP.model, ffn=replace(LAPTOP.model.ffn, norm="hybrid")))
    assert layer_of(normed, "dense", "save_dots").kept == dots.kept + sizes["ffn_out"]
    assert dots.remade >= sizes["ffn_hidden"] + 3 * sizes["weights"]


def on_tpu(run: RunSpec, kernel: str = "auto", d_head: int = 32, **experts: object) -> RunSpec:
    attention = replace(run.model.attention, kernel=kernel, d_head=d_head)
    sparse = replace(run.model.experts, **experts) if run.model.experts else None
    return replace(run, mesh=mesh(TPU), model=replace(run.model, attention=attention, experts=sparse))


def test_heads_that_fill_no_row_of_a_tpu_s_memory_are_padded_to_one():
    short, whole = (layer_of(on_tpu(BASELINE, "blockwise", d_head), "dense", "save_dots") for d_head in (32, 128))
    assert short.kept == whole.kept
    on_gpu = layer_of(replace(on_tpu(BASELINE, "blockwise"), mesh=mesh(GPU)), "dense", "save_dots")
    sizes = bytes_by_name(planned(BASELINE).activations, planned(BASELINE).mesh.axes)
    assert short.kept - on_gpu.kept == 3 * sum(sizes[name] for name in ("q", "k", "v"))


def test_splash_attention_keeps_no_scores_and_works_with_a_sum_in_every_lane():
    blocks, splash = (layer_of(on_tpu(BASELINE, kernel), "dense", "none") for kernel in ("blockwise", "splash"))
    tokens = planned(BASELINE).batch.tokens_per_device
    stream = 4 * tokens * BASELINE.model.d_model
    assert splash.kept < blocks.kept
    assert splash.extra == stream + 2 * 4 * tokens * BASELINE.model.attention.n_heads * 128


def test_a_tpu_keeps_what_the_activation_takes_and_a_scan_all_that_jax_kept():
    unrolled, gpu = on_tpu(BASELINE, "blockwise"), replace(on_tpu(BASELINE, "blockwise"), mesh=mesh(GPU))
    scanned = replace(unrolled, layers=replace(unrolled.layers, scan=True))
    other = replace(scanned, model=replace(scanned.model, ffn=replace(FFN, activation="geglu")))
    sizes = bytes_by_name(planned(BASELINE).activations, planned(BASELINE).mesh.axes)
    kept = [layer_of(run, "dense", "none").kept for run in (unrolled, gpu, scanned, other)]
    assert kept[0] < kept[1]
    assert kept[2] - kept[0] == -2 * sizes["residual"], "a scan keeps two streams fewer, and swiglu its arguments alone"
    assert kept[3] - kept[2] == 3 * sizes["ffn_gate"]


def test_grouped_matmuls_of_a_tpu_work_with_three_arrays_of_all_rows():
    dropless = layer_of(on_tpu(LAPTOP, capacity_factor=None), "moe", "full")
    plan = planned(on_tpu(LAPTOP, capacity_factor=None))
    sizes = bytes_by_name(plan.activations, plan.mesh.axes)
    assert plan.routing is not None
    assert plan.routing.grouped_matmul == "megablox"
    assert dropless.extra >= sizes["residual"] + 3 * sizes["expert_out"]


def test_a_scanned_step_makes_a_whole_period_again_and_an_unrolled_one_a_layer():
    full = replace(POD, remat=RematSpec("full", (), ()))
    unrolled = replace(full, layers=replace(POD.layers, scan=False))
    dense, moe = (layer_of(full, kind, "full") for kind in ("dense", "moe"))
    more = planned(full).memory.activations - planned(unrolled).memory.activations
    residual = activation_bytes(planned(full).activations[0], planned(full).mesh.axes)
    assert 0.7 * dense.remade - 6 * residual < more < dense.remade + moe.remade


def test_chunks_of_the_loss_add_up_the_gradient_of_a_head_that_is_whole_over_fsdp():
    wordy = replace(BASELINE, model=replace(BASELINE.model, vocab_size=2**16))
    narrow = replace(wordy, model=replace(wordy.model, dtype=replace(wordy.model.dtype, compute="bfloat16")))
    for run, expected in ((BASELINE, 200), (wordy, 207), (narrow, 157)):
        plan = planned(run)
        assert logits_at_work(plan.run, plan.batch, plan.activations, logits=100, head_gradient=7) == expected
    cut = planned(on(wordy, fsdp=8))
    assert weight_memory(cut.run, cut.mesh, cut.tensors).head_gradient == 4 * 2**16 * wordy.model.d_model


def test_the_fullest_moment_of_a_model_with_a_large_vocabulary_is_the_loss():
    wordy = planned(replace(BASELINE, model=replace(BASELINE.model, vocab_size=65_536)))
    for plan, at_the_loss in ((wordy, True), (planned(replace(BASELINE, remat=RematSpec("full", (), ()))), False)):
        held = moments(plan.run, plan.stack, plan.mesh, plan.batch, plan.tensors, plan.activations)
        assert (held.loss > held.layers) == at_the_loss
        assert plan.memory.activations == held.peak - plan.memory.gradients


def test_gradients_of_all_layers_are_the_gradients_of_the_plan():
    for run in (LAPTOP, POD):
        plan = planned(run)
        assert weight_memory(plan.run, plan.mesh, plan.tensors).all_gradients == plan.memory.gradients


def test_weights_used_as_they_are_stored_take_no_second_copy():
    assert not any(weight_memory(BASELINE, planned(BASELINE).mesh, planned(BASELINE).tensors).used.values())
    gathered = weight_memory(on(BASELINE, fsdp=8), planned(on(BASELINE, fsdp=8)).mesh, planned(BASELINE).tensors)
    assert all(gathered.used.values())


def test_an_offloaded_activation_takes_no_device_memory():
    assert with_remat("names", offload=("ffn_hidden",)) == with_remat("full")


def of_length(seq_len: int, kernel: str) -> Plan:
    attention = replace(BASELINE.model.attention, kernel=kernel)
    return planned(replace(BASELINE, model=replace(BASELINE.model, seq_len=seq_len, attention=attention)))


def test_the_reference_kernel_keeps_the_full_square_and_blocks_do_not():
    whole, blocks = of_length(2_048, "reference"), of_length(2_048, "blockwise")
    square = 2 * 4 * 2_048 * 2_048 * 4
    assert whole.memory.activations - blocks.memory.activations >= 4 * square


def test_a_sequence_that_is_one_band_keeps_its_square():
    assert of_length(64, "reference").memory == of_length(64, "blockwise").memory


def test_kept_bytes_per_layer_are_those_that_the_compiler_was_seen_to_keep():
    # Compiled with jax 0.10.2 and 0.12 for one CPU (`moec prove`): 324.0 MB of temporaries with 4 layers, 631.0 with 8.
    deep = replace(BASELINE.model, n_layers=8)
    more = planned(replace(BASELINE, model=deep)).memory.activations - planned(BASELINE).memory.activations
    assert more / 1e6 == pytest.approx(631.0 - 324.0, rel=0.05)


@pytest.mark.parametrize("axis", ["data", "fsdp", "expert", "seq"])
def test_activations_shrink_with_every_axis_that_cuts_tokens(axis):
    whole, cut = planned(BASELINE).memory.activations, planned(on(BASELINE, **{axis: 8})).memory.activations
    assert whole / 12 < cut < whole / 4


def test_measured_rates_come_before_shares_of_the_peak():
    assert matmul_flops_per_second(GPU, "bfloat16") == 798e12
    assert matmul_flops_per_second(TPU, "bfloat16") == pytest.approx(0.8 * 459e12)
    assert matmul_flops_per_second(CPU, "float32") == 1e11


def test_an_unmeasured_dtype_is_taken_for_the_nearest_known_one():
    assert peak_flops_per_second(GPU, "float32") == 0.5 * 989e12
    assert matmul_flops_per_second(CPU, "bfloat16") == 1e11


def test_an_h100_needs_about_three_hundred_rows():
    # reference/jax-facts.md: an expert needs about 300 rows to be compute-bound.
    assert 280 < compute_bound_rows(GPU, "bfloat16", 2) < 310


def test_step_time_is_the_sum_of_its_rows():
    step = planned(POD).step_time
    assert step.seconds == pytest.approx(sum(row.seconds for row in step.breakdown))
    assert {row.cause for row in step.breakdown} == {"compute", "memory", "network"}


def test_a_dense_step_on_a_known_cpu_takes_its_flops_at_the_measured_rate():
    plan = planned(BASELINE)
    assert plan.step_time.seconds == pytest.approx(plan.flops.executed_train_per_token * 4_096 / 1e11)
    assert plan.step_time.mfu == 0.0


def test_more_devices_take_less_time_and_mfu_stays_below_one():
    few, many = planned(POD), planned(replace(POD, mesh=mesh(TPU, 1_024, expert=16, fsdp=16, data=4)))
    assert many.step_time.seconds < few.step_time.seconds
    assert 0 < many.step_time.mfu < few.step_time.mfu < 1


def test_one_sequence_per_step_is_bound_by_reading_the_weights():
    small = replace(LAPTOP, mesh=mesh(TPU), batch=replace(LAPTOP.batch, tokens=256))
    experts = next(row for row in planned(small).step_time.breakdown if row.what == "experts")
    assert experts.cause == "memory"
