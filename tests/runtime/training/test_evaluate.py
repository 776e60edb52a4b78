"""The held-out loss is the mean over held-out targets, whatever the mesh."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from moec.runtime.batch import Batch, Objective
from moec.runtime.data.text import eval_batches
from moec.runtime.evaluate import Evaluator, HeldOut
from moec.runtime.mesh import make_mesh
from moec.runtime.program import Program
from moec.runtime.state import Layout, Weights, initial_state, lay_out
from moec.runtime.trained import evaluate_newest

TOKENS = 2_048


def evaluator_of(program: Program) -> tuple[Evaluator, Layout, Weights]:
    assert program.data is not None
    layout = lay_out(program, make_mesh(program.mesh))
    return Evaluator(program, program.data, layout), layout, initial_state(program, layout).weights


def whole_logits(layout: Layout, weights: Weights, batch: Batch) -> jax.Array:
    model = nnx.merge(layout.graph, weights.params, weights.untrained)
    return model(batch).hidden_BSD @ model.head_DV()


def test_it_is_the_mean_over_the_held_out_targets(tiny: Program) -> None:
    evaluator, layout, weights = evaluator_of(tiny)
    found = evaluator.held_out(weights, TOKENS)
    assert found is not None
    assert tiny.data is not None
    logits_of = jax.jit(lambda weights, batch: whole_logits(layout, weights, batch))
    total, targets = 0.0, 0
    for batch in eval_batches(tiny.data, 32, 8, TOKENS):
        logits_BSV = np.asarray(logits_of(weights, batch), np.float64)
        log_z_BS = np.log(np.exp(logits_BSV).sum(-1))
        at_target_BS = np.take_along_axis(logits_BSV, np.asarray(batch.targets_BS)[..., None], -1)[..., 0]
        real_BS = batch.weights_BS > 0
        total += float((log_z_BS - at_target_BS)[real_BS].sum())
        targets += int(real_BS.sum())
    assert found.tokens == targets
    assert found.loss == pytest.approx(total / targets, rel=1e-5)


def test_held_out_text_is_read_as_generation_reads_it(tiny: Program) -> None:
    """Routers that look ahead in training may not do so in a number that is told of the model."""
    seen: list[bool] = []

    def objective(model: nnx.Module, batch: Batch) -> Objective:
        seen.append(batch.causal)
        return tiny.objective(model, batch)

    evaluator, _, weights = evaluator_of(replace(tiny, objective=objective))
    assert evaluator.held_out(weights, 512) is not None
    assert seen == [True]


def test_eight_devices_measure_what_one_measures(tiny: Program, on_mesh: Callable[..., Program]) -> None:
    alone, _, weights = evaluator_of(tiny)
    wide, _, wide_weights = evaluator_of(on_mesh(data=2, fsdp=2, expert=2))
    one, eight = alone.held_out(weights, 512), wide.held_out(wide_weights, 512)
    assert one is not None
    assert eight is not None
    assert eight.loss == pytest.approx(one.loss, rel=1e-5)


def test_no_held_out_text_gives_no_loss_and_says_so(tiny: Program) -> None:
    assert tiny.data is not None
    evaluator, _, weights = evaluator_of(replace(tiny, data=replace(tiny.data, split=0.0)))
    held_out, unigram = evaluator.held_out(weights, TOKENS), evaluator.unigram(TOKENS)
    assert (held_out, unigram) == (None, None)
    assert "split = 0" in evaluator.describe(held_out, unigram)


def test_bits_are_nats_over_the_logarithm_of_two(tiny: Program) -> None:
    evaluator, _, _ = evaluator_of(tiny)
    assert HeldOut(loss=math.log(4), tokens=10).bits_per_token == pytest.approx(2.0)
    assert "(2.000 bits per byte) over 10 tokens" in evaluator.describe(HeldOut(math.log(4), 10), 1.5)


def test_the_newest_checkpoint_is_measured(tiny: Program, trained: Path) -> None:
    described = evaluate_newest(tiny, trained, TOKENS)
    assert described.startswith("step 6: held-out loss")
    assert "unigram" in described
