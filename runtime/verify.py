"""Taking a step twice: a machine that miscalculates gives other bits the second time."""

from __future__ import annotations

import jax
from jax import numpy as jnp

from moec.runtime.batch import Batch
from moec.runtime.checksums import checksums
from moec.runtime.failure import RunError
from moec.runtime.state import TrainState, named_arrays
from moec.runtime.train_step import StepReport, TrainStep


def take_step_twice(take_step: TrainStep, step: int, state: TrainState, batch: Batch) -> tuple[TrainState, StepReport]:
    """What the step gives, which is the same, bit by bit, both times; needs memory for two states.

    Errors: RunError naming the arrays that differ.
    """
    copy = jax.tree.map(jnp.copy, state)  # the step takes over the memory of the state that it is given
    first = _sums(*take_step(copy, batch))
    after, report = take_step(state, batch)
    second = _sums(after, report)
    changed = [name for name, found in second.items() if found != first[name]]
    if changed:
        raise RunError(
            f"step {step} was taken twice and gave other bits the second time, in {len(changed)} of {len(second)} "
            f"arrays, among them {', '.join(changed[:3])}: a device of this machine miscalculates, or the kernels in "
            "use are not deterministic. The state before this step is suspect; go on from an earlier checkpoint, on "
            "another machine"
        )
    return after, report


def _sums(state: TrainState, report: StepReport) -> dict[str, str]:
    return checksums({**named_arrays(state), "report.loss": report.loss, "report.grad_norm": report.grad_norm})
