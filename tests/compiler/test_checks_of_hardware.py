"""Memory and kernels against the chip: MOE71xx and MOE7201, and what a run itself asks for: MOE81xx."""

from dataclasses import replace

import pytest
from runs import ATTENTION, BASELINE, CPU, FFN, GPU, LAPTOP, POD, TPU, mesh

from moec.compiler.emit.attention import attention_class
from moec.compiler.formulas.roofline import TRITON_EXPERTS
from moec.compiler.passes.choose_kernels import HEADS_OF_CHUNK, LOGITS_CHUNK_BYTES
from moec.compiler.pipeline import plan_run
from moec.compiler.places import NOWHERE
from moec.compiler.typed import DataSpec, RematSpec, RunSpec
from moec.spec.diagnostics import Diagnostic
from moec.spec.hardware.catalogue import hardware

BF16 = replace(BASELINE.model.dtype, compute="bfloat16")
BYTES = DataSpec("code", "", ("python_stdlib",), (1.0,), "auto", "text", "bytes", 0.05, "documents", 0)


def told(run: RunSpec, code: str) -> Diagnostic:
    return next(diagnostic for diagnostic in plan_run(run)[1] if diagnostic.code == code)


def kernel(run: RunSpec, name: str, **attention) -> RunSpec:
    return replace(run, model=replace(run.model, attention=replace(ATTENTION, kernel=name, **attention)))


def in_bfloat16(run: RunSpec) -> RunSpec:
    return replace(run, model=replace(run.model, dtype=BF16))


def remat(policy: str, save: tuple[str, ...] = (), offload: tuple[str, ...] = ()) -> RunSpec:
    return replace(BASELINE, remat=RematSpec(policy, save, offload))


def test_too_much_for_the_memory_is_refused_with_every_part_and_the_likely_cure():
    small = replace(GPU, hbm_bytes=2**20)
    diagnostic = told(replace(BASELINE, mesh=mesh(small)), "MOE7101")
    assert "`h100` has 0.00 GiB" in diagnostic.message
    assert all(part in diagnostic.notes[0] for part in ("params", "gradients", "optimizer", "activations"))
    assert "remat" in diagnostic.helps[0]


def test_weights_that_do_not_fit_are_told_to_be_sharded():
    wide = replace(BASELINE.model, d_model=4_096, ffn=replace(FFN, d_ff=65_536))
    run = replace(BASELINE, model=wide, mesh=mesh(replace(GPU, hbm_bytes=2**34)))
    assert "`fsdp`" in told(run, "MOE7101").helps[0]


def test_a_nearly_full_memory_is_doubted():
    plan, _ = plan_run(replace(BASELINE, mesh=mesh(GPU)))
    tight = replace(GPU, hbm_bytes=plan.memory.total + 1)
    whole = replace(BASELINE.batch, micro=BASELINE.batch.tokens)
    assert told(replace(BASELINE, mesh=mesh(tight), batch=whole), "MOE7201").severity == "warning"


def test_memory_that_is_unknown_is_not_checked():
    plan, diagnostics = plan_run(replace(POD, mesh=mesh(CPU, 512, fsdp=512)))
    assert plan.memory.hbm == 0
    assert all(not diagnostic.code.startswith("MOE7") for diagnostic in diagnostics)


@pytest.mark.parametrize(
    ("run", "chosen"),
    [
        (BASELINE, "blockwise"),
        (replace(in_bfloat16(BASELINE), mesh=mesh(GPU)), "cudnn"),
        (replace(BASELINE, mesh=mesh(GPU)), "blockwise"),
        (replace(in_bfloat16(kernel(BASELINE, "auto", d_head=36)), mesh=mesh(GPU)), "blockwise"),
        (replace(in_bfloat16(kernel(BASELINE, "auto", softcap=50.0)), mesh=mesh(GPU)), "blockwise"),
        (replace(in_bfloat16(BASELINE), mesh=mesh(GPU, 2, seq=2)), "blockwise"),
        (replace(in_bfloat16(BASELINE), mesh=mesh(hardware("mi300x"))), "blockwise"),
        (replace(in_bfloat16(BASELINE), mesh=mesh(TPU)), "splash"),
        (replace(BASELINE, mesh=mesh(TPU, 2, seq=2)), "blockwise"),
        (replace(BASELINE, mesh=mesh(TPU), model=replace(BASELINE.model, seq_len=64)), "blockwise"),
        (kernel(BASELINE, "reference"), "reference"),
        (kernel(replace(BASELINE, mesh=mesh(TPU)), "splash"), "splash"),
    ],
)
def test_the_attention_kernel_is_one_that_the_chip_has(run, chosen):
    plan, _ = plan_run(run)
    assert plan.kernels.attention == chosen


@pytest.mark.parametrize("run", [kernel(BASELINE, "cudnn"), kernel(BASELINE, "splash")])
def test_a_kernel_that_is_not_there_is_refused(run):
    assert told(run, "MOE7102").helps == ("write kernel = auto",)


def test_cudnn_is_refused_with_the_reason():
    run = replace(kernel(BASELINE, "cudnn"), mesh=mesh(GPU))
    assert "not float32" in told(run, "MOE7103").message
    assert "not 36" in told(in_bfloat16(replace(kernel(run, "cudnn", d_head=36))), "MOE7103").message
    assert "not mi300x" in told(replace(run, mesh=mesh(hardware("mi300x"))), "MOE7103").message
    assert "seq = 2" in told(in_bfloat16(replace(run, mesh=mesh(GPU, 2, seq=2))), "MOE7103").message


def by_lengths(run: RunSpec, **attention) -> RunSpec:
    return in_bfloat16(kernel(run, "auto", max_documents=16, **attention))


def test_documents_are_told_by_their_lengths_where_cudnn_can():
    plan, diagnostics = plan_run(by_lengths(replace(BASELINE, mesh=mesh(GPU))))
    assert plan.kernels.attention == "cudnn"
    assert 'kernel="cudnn", documents=16)' in attention_class(plan, NOWHERE).text
    assert not [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    chosen, _ = plan_run(in_bfloat16(replace(BASELINE, mesh=mesh(GPU))))
    assert chosen.kernels.documents == 16
    by_mask, _ = plan_run(in_bfloat16(kernel(replace(BASELINE, mesh=mesh(GPU)), "auto", max_documents=None)))
    assert 'kernel="cudnn")' in attention_class(by_mask, NOWHERE).text
    scores = [
        {row.what: row.seconds for row in p.step_time.breakdown}["attention scores, values"] for p in (plan, by_mask)
    ]
    assert scores[1] == pytest.approx(2 * scores[0])
    # The least that the documents add: their gradient of the queries in float32.
    queries = 4 * plan.batch.tokens_per_device * BASELINE.model.d_model
    assert plan.memory.total - by_mask.memory.total > 15 * queries


@pytest.mark.parametrize(
    ("run", "attention"),
    [
        (BASELINE, {}),
        (replace(BASELINE, mesh=mesh(GPU)), {"window": 64}),
        (replace(BASELINE, mesh=mesh(replace(GPU, name="a100"))), {}),
    ],
)
def test_auto_tells_no_lengths_where_they_cannot_be_told(run, attention):
    plan, diagnostics = plan_run(in_bfloat16(kernel(run, "auto", **attention)))
    assert plan.kernels.documents is None
    assert not [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (by_lengths(BASELINE), "the kernel of this run is blockwise"),
        (by_lengths(replace(BASELINE, mesh=mesh(TPU))), "the kernel of this run is splash"),
        (by_lengths(replace(BASELINE, mesh=mesh(GPU)), window=64), "with a window it knows a mask alone"),
        (by_lengths(replace(BASELINE, mesh=mesh(replace(GPU, name="a100")))), "a Hopper GPU or a newer one, not a100"),
    ],
)
def test_documents_by_their_lengths_are_refused_with_the_reason(run, why):
    diagnostic = told(run, "MOE7108")
    assert why in diagnostic.message
    assert diagnostic.helps == ("write max_documents = auto",)


def test_splash_is_refused_where_its_blocks_do_not_fit():
    run = replace(kernel(BASELINE, "splash"), mesh=mesh(TPU))
    odd = told(replace(run, model=replace(run.model, seq_len=64)), "MOE7106")
    assert "64 is no multiple of 128" in odd.message
    assert odd.helps[0] == "write seq_len = 128"
    cut = told(replace(run, mesh=mesh(TPU, 2, seq=2)), "MOE7106")
    assert "over 2 devices" in cut.message


@pytest.mark.parametrize(
    ("kernel", "change", "why"),
    [
        ("mosaic_gpu", {"chip": "a100"}, "it is made for h100 and h200, not a100"),
        ("triton", {"chip": "mi300x"}, "it is made for NVIDIA's GPUs, not mi300x"),
        ("mosaic_gpu", {"dtype": "float32"}, "it computes in bfloat16, not float32"),
        ("mosaic_gpu", {"d_ff": 96}, "d_ff on a device must be a multiple of 64, not 96"),
        ("mosaic_gpu", {"d_ff": 128, "model": 4}, "d_ff on a device must be a multiple of 64, not 32"),
        ("triton", {"d_ff": 40}, "d_ff on a device must be a multiple of 16, not 40"),
    ],
)
def test_a_grouped_matmul_is_refused_where_it_cannot_multiply(kernel, change, why):
    dropless = dropless_on(**change)
    named = replace(dropless.model.experts, grouped_matmul=kernel)
    diagnostic = told(replace(dropless, model=replace(dropless.model, experts=named)), "MOE7107")
    assert why in diagnostic.message
    assert diagnostic.helps == ("write grouped_matmul = auto",)


@pytest.mark.parametrize(
    ("change", "kernel"),
    [
        ({}, "mosaic_gpu"),
        ({"chip": "h200"}, "mosaic_gpu"),
        ({"chip": "a100"}, "triton"),
        ({"dtype": "float32"}, "triton"),
        ({"d_ff": 96}, "triton"),
        ({"d_ff": 40}, "tiles"),
        ({"chip": "mi300x"}, "tiles"),
    ],
)
def test_dropless_experts_on_a_gpu_take_the_first_kernel_that_can(change, kernel):
    plan, told = plan_run(dropless_on(**change))
    assert plan is not None, told
    assert plan.routing.grouped_matmul == kernel


def test_experts_by_triton_are_planned_slower_than_a_large_matmul():
    seconds = {}
    for name in ("mosaic_gpu", "triton"):
        run = dropless_on()
        named = replace(run.model.experts, grouped_matmul=name, d_ff=2**14)
        plan, told = plan_run(replace(run, model=replace(run.model, experts=named)))
        assert plan is not None, told
        (seconds[name],) = (row.seconds for row in plan.step_time.breakdown if row.what == "experts")
    assert seconds["mosaic_gpu"] / seconds["triton"] == pytest.approx(TRITON_EXPERTS)


def dropless_on(*, chip: str = "h100", dtype: str = "bfloat16", d_ff: int = 128, model: int = 1) -> RunSpec:
    """Dropless experts on GPUs."""
    experts = replace(LAPTOP.model.experts, capacity_factor=None, d_ff=d_ff)
    spec = replace(LAPTOP.model, experts=experts, dtype=replace(LAPTOP.model.dtype, compute=dtype))
    return replace(LAPTOP, model=spec, mesh=mesh(hardware(chip), model, model=model))


def test_hardware_without_any_rate_is_refused():
    nameless = replace(CPU, achievable_flops_per_second={})
    diagnostic = told(replace(BASELINE, mesh=mesh(nameless)), "MOE7104")
    assert "float32" in diagnostic.helps[0]


def test_a_chunk_of_logits_stays_small_and_holds_whole_positions():
    plan, _ = plan_run(POD)
    chunk = plan.kernels.cross_entropy_chunk
    assert chunk % plan.batch.micro_sequences == 0
    assert chunk // 512 * 32_768 * 4 <= LOGITS_CHUNK_BYTES
    assert plan_run(LAPTOP)[0].kernels.cross_entropy_chunk == 4_096


def test_a_gpu_makes_logits_of_more_tokens_at_once():
    run = replace(in_bfloat16(BASELINE), model=replace(in_bfloat16(BASELINE).model, vocab_size=128 * 1024))
    chunks = {chip.name: plan_run(replace(run, mesh=mesh(chip)))[0].kernels.cross_entropy_chunk for chip in (GPU, CPU)}
    assert chunks[CPU.name] * 128 * 1024 * 4 == LOGITS_CHUNK_BYTES
    assert chunks[GPU.name] == HEADS_OF_CHUNK * BASELINE.model.d_model


def test_bytes_need_a_row_each():
    run = replace(BASELINE, data=BYTES, model=replace(BASELINE.model, vocab_size=128))
    assert told(run, "MOE8101").helps == ("write vocab_size = 256 or more",)


def test_an_evaluation_holds_at_least_a_sequence():
    run = replace(BASELINE, data=BYTES, eval=replace(BASELINE.eval, tokens=255))
    assert told(run, "MOE8102").label == "255 tokens"


def test_an_evaluation_that_never_comes_is_doubted():
    run = replace(BASELINE, eval=replace(BASELINE.eval, every_steps=246))
    assert "245 steps" in told(run, "MOE8103").others[0].text


def test_a_written_checkpoint_that_never_comes_is_doubted_and_a_default_is_not():
    run = replace(BASELINE, checkpoint=replace(BASELINE.checkpoint, every_steps=246))
    assert plan_run(run)[1] == ()
    assert told(replace(run, written=frozenset({"checkpoint.every_steps"})), "MOE8107").severity == "warning"


@pytest.mark.parametrize(("window", "doubted"), [(490, True), (488, False)])
def test_a_guard_that_never_knows_a_spike_is_doubted(window: int, doubted: bool):
    run = replace(BASELINE, guard=replace(BASELINE.guard, spike=6.0, window=window))
    assert ("MOE8108" in {one.code for one in plan_run(run)[1]}) is doubted
    assert plan_run(replace(run, guard=replace(run.guard, spike=None)))[1] == ()


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (remat("names"), "MOE8104"),
        (remat("names", save=("ffn_out",), offload=("ffn_out",)), "MOE8105"),
        (remat("names", save=("expert_out",)), "MOE8106"),
    ],
)
def test_named_rematerialisation_names_what_is_there(run, code):
    assert told(run, code).severity == "error"


def test_names_of_a_sparse_model_are_known():
    names = ("attention_out", "ffn_hidden", "ffn_out", "expert_buffer", "expert_hidden", "expert_out")
    model = replace(LAPTOP.model, experts=replace(LAPTOP.model.experts, grouped_matmul="batched"))
    plan, diagnostics = plan_run(replace(LAPTOP, model=model, remat=RematSpec("names", names, ())))
    assert plan is not None
    assert diagnostics == ()


def test_tiles_have_no_whole_hidden_rows_to_keep():
    run = replace(LAPTOP, remat=RematSpec("names", ("expert_hidden",), ()))
    (refused,) = plan_run(run)[1]
    assert refused.code == "MOE8106"
    assert "tiles" in refused.notes[0]
    assert plan_run(replace(LAPTOP, remat=RematSpec("names", ("expert_buffer", "expert_out"), ())))[1] == ()
