"""What lies between matrix products, in bytes, against examples worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import BASELINE, CPU, GPU, LAPTOP, mesh

from moec.compiler.passes.count_traffic import traffic_rows
from moec.compiler.pipeline import plan_run
from moec.compiler.typed import RunSpec
from moec.spec.hardware import Hardware

FLOAT32 = 4
TOKENS, D_MODEL, D_FF, VOCAB_SIZE = 4096, 128, 344, 256
N_LAYERS, N_MOE = 4, 2
WRITTEN_AND_READ, FORWARD_AND_BACKWARD = 2, 2
STREAM = TOKENS * D_MODEL * FLOAT32
KEYS_OR_VALUES = STREAM // 2
"""Two key heads of four."""
ROWS = 4_096 * 2
"""One for each choice of each token: tiles leave empty slots out."""


def moved(run: RunSpec) -> dict[str, float]:
    plan, told = plan_run(run)
    assert plan is not None, told
    rows = traffic_rows(plan.run, plan.stack, plan.mesh, plan.batch, plan.flops, plan.activations)
    return {row.what: row.moved_bytes for row in rows}


def test_each_part_of_a_small_mixture_moves_what_its_arrays_hold() -> None:
    each = WRITTEN_AND_READ * FORWARD_AND_BACKWARD
    # The stream, its sum and its norm before both branches are four; then q, mixed values and the output; keys, values.
    stream = N_LAYERS * ((4 + 3) * STREAM + 2 * KEYS_OR_VALUES)
    # Gate, tanh, gated value; up; hidden; and the output of the layer.
    ffn = (N_LAYERS - N_MOE) * (5 * TOKENS * D_FF * FLOAT32 + STREAM)
    # Tiles write gate and up alone.
    experts = N_MOE * FLOAT32 * (2 * ROWS * D_FF + TOKENS * 8)
    # Bands of 64 queries see 64, 128, 192 and 256 keys: 160 on average, by four heads; scores and weights.
    softmax = 2 * N_LAYERS * TOKENS * 160 * 4 * FLOAT32
    dispatch = N_MOE * FLOAT32 * D_MODEL * (2 * ROWS + 2 * TOKENS * 2)
    assert moved(LAPTOP) == {
        "between products: stream, norms": each * stream,
        "between products: ffn": each * ffn,
        "between products: experts": each * experts,
        "between products: softmax": each * softmax,
        "between products: loss": WRITTEN_AND_READ * 2 * TOKENS * VOCAB_SIZE * FLOAT32,
        "dispatch and combine": each * dispatch,
    }


def test_a_dense_model_dispatches_nothing() -> None:
    rows = moved(BASELINE)
    assert "dispatch and combine" not in rows
    assert "between products: experts" not in rows
    assert rows["between products: ffn"] == 2 * moved(LAPTOP)["between products: ffn"]


@pytest.mark.parametrize(("chip", "share"), [(CPU, 0.5), (GPU, 1.5)])
def test_layers_that_are_made_again_move_half_as_much_more_but_on_a_cpu_and_the_loss_does_not(
    chip: Hardware, share: float
) -> None:
    run = replace(LAPTOP, mesh=mesh(chip))
    kept, again = moved(run), moved(replace(run, remat=replace(run.remat, policy="full")))
    loss = "between products: loss"
    assert again.pop(loss) == kept.pop(loss)
    assert again == {what: share * moved_bytes for what, moved_bytes in kept.items()}


@pytest.mark.parametrize("micro", [2048, 1024])
def test_micro_batches_move_as_much_in_all(micro: int) -> None:
    assert moved(replace(LAPTOP, batch=replace(LAPTOP.batch, micro=micro))) == moved(LAPTOP)


def test_a_device_moves_its_share() -> None:
    shared = moved(replace(LAPTOP, mesh=mesh(LAPTOP.mesh.hardware, 4, data=4)))
    assert shared == {what: moved_bytes / 4 for what, moved_bytes in moved(LAPTOP).items()}
