"""Taking a step twice: a machine that miscalculates gives other bits the second time."""

from __future__ import annotations

import jax
from jax import numpy as jnp

from moec.runtime.batch import Batch
from moec.runtime.checksums import checksums
from moec.runtime.failure import RunError
from moec.runtime.state import TrainState, named_arrays
from moec.runtime.train_step import StepReport, TrainStep


def rehearse(take_step: TrainStep, state: TrainState, batch: Batch) -> dict[str, str]:
    """Checksums of what the step gives, which is taken on a copy of the state; needs memory for two."""
    copy = jax.tree.map(jnp.copy, state)  # the step takes over the memory of the state that it is given
    return _sums(*take_step(copy, batch))


def check_same(step: int, rehearsed: dict[str, str], after: TrainState, report: StepReport) -> None:
    """Errors: RunError naming the arrays that differ, bit by bit, from what was rehearsed."""
    changed = [name for name, found in _sums(after, report).items() if found != rehearsed[name]]
    if changed:
        raise RunError(
            f"step {step} was taken twice and gave other bits the second time, in {len(changed)} of {len(rehearsed)} "
            f"arrays, among them {', '.join(changed[:3])}: a device of this machine miscalculates, or the kernels in "
            "use are not deterministic. The state before this step is suspect; go on from an earlier checkpoint, on "
            "another machine"
        )


def _sums(state: TrainState, report: StepReport) -> dict[str, str]:
    return checksums({**named_arrays(state), "report.loss": report.loss, "report.grad_norm": report.grad_norm})
