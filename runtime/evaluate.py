"""The held-out loss: cross-entropy over text that training never sees."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp

from moec.runtime.batch import Batch
from moec.runtime.data.text import TextData, eval_batches, unigram_loss
from moec.runtime.failure import RunError
from moec.runtime.mesh import replicated
from moec.runtime.placement import RowShare, batch_sharding, place
from moec.runtime.program import Program
from moec.runtime.state import Layout, Weights

PREDICTION_TERM = "cross_entropy"  # the name of the objective's term that is the prediction's loss


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`loss` is the mean cross-entropy over `tokens` held-out targets. Units: nats per token."""

    loss: float
    tokens: int

    @property
    def bits_per_token(self) -> float:
        """The same in bits: with the bytes tokenizer, bits per byte."""
        return self.loss / math.log(2)


class Evaluator:
    """Measures the held-out loss of one program; the step is compiled at the first use and kept."""

    def __init__(self, program: Program, data: TextData, layout: Layout, cache_dir: Path | None = None) -> None:
        self._program = program
        self._data = data
        self._layout = layout
        self._cache_dir = cache_dir
        self._loss = jax.jit(_prediction_loss(program, layout), out_shardings=replicated(layout.mesh))

    def held_out(self, weights: Weights, tokens: int) -> HeldOut | None:
        """The loss over at most `tokens` held-out tokens, one sequence at least; None where no text is held out.

        Errors: RunError where the loss is not finite.
        """
        training = self._program.training
        loss, targets = 0.0, 0
        with jax.set_mesh(self._layout.mesh):
            batches = eval_batches(
                self._data, training.seq_len, training.micro_sequences, tokens, cache_dir=self._cache_dir
            )
            for batch in batches:
                loss += float(self._loss(weights, self._placed(batch)))
                targets += int(np.count_nonzero(batch.weights_BS))
        if not math.isfinite(loss):
            raise RunError("the held-out loss is not finite: the weights are of no use")
        return HeldOut(loss, targets) if targets else None

    def unigram(self, tokens: int) -> float | None:
        """The loss of the best unigram model on the same held-out tokens, None where there are none.

        Units: nats per token.
        """
        seq_len = self._program.training.seq_len
        return unigram_loss(self._data, seq_len=seq_len, tokens=tokens, cache_dir=self._cache_dir)

    def describe(self, held_out: HeldOut | None, unigram: float | None) -> str:
        """The held-out loss beside the unigram model's, in one line."""
        if held_out is None or unigram is None:
            return "no text is held out (split = 0): no held-out loss"
        per_byte = f" ({held_out.bits_per_token:.3f} bits per byte)" if self._data.tokenizer == "bytes" else ""
        return (
            f"held-out loss {held_out.loss:.4f} nats per token{per_byte} over {held_out.tokens:,} tokens; "
            f"a unigram model has {unigram:.4f}"
        )

    def _placed(self, batch: Batch) -> Batch:
        one_micro_batch = jax.tree.map(lambda rows: rows[None], batch)
        return place(one_micro_batch, batch_sharding(self._layout.mesh), RowShare(0, 1))


def _prediction_loss(program: Program, layout: Layout) -> Callable[[Weights, Batch], jax.Array]:
    def loss(weights: Weights, batch: Batch) -> jax.Array:
        micro = dataclasses.replace(jax.tree.map(lambda array: array[0], batch), causal=True)
        objective = program.objective(nnx.merge(layout.graph, weights.params, weights.untrained), micro)
        return objective.terms[PREDICTION_TERM].astype(jnp.float32)

    return loss
