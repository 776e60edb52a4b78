"""The summary of a run, from its metrics file and its last evaluation."""

from __future__ import annotations

import statistics
from pathlib import Path

import jax

from moec.runtime.evaluate import HeldOut
from moec.runtime.metrics import Record, records_in
from moec.runtime.program import Program


def summarise(
    program: Program,
    metrics: Path,
    held_out: HeldOut | None,
    unigram: float | None,
    *,
    params: int,
    compile_seconds: float | None,
) -> Record:
    """What `result.json` holds, over all the processes that the run took.

    Units: losses in nats per token; `compile_seconds` of this process, None where it did not compile;
    `peak_memory_bytes` of one device, None where the platform does not say (CPU).
    """
    last: Record = {}
    step_seconds: list[float] = []
    loss: object = None
    for last in records_in(metrics):
        loss = last["loss"] if last["loss"] is not None else loss
        step_seconds.append(float(str(last["step_seconds"])))
    train_seconds = float(str(last["seconds"]))
    tokens = int(str(last["tokens"]))
    return {
        "name": program.name,
        "identity": program.identity,
        "eval_loss": None if held_out is None else held_out.loss,
        "eval_tokens": 0 if held_out is None else held_out.tokens,
        "unigram_loss": unigram,
        "loss": loss,
        "steps": last["step"],
        "skipped_steps": last["skipped"],
        "tokens": tokens,
        "train_seconds": train_seconds,
        "step_seconds_median": statistics.median(step_seconds),
        "tokens_per_second": tokens / train_seconds,
        "params": params,
        "active_params": program.expectations.active_params,
        "compile_seconds": compile_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int | None:
    """The most memory that this process's first device held at once, None where the platform does not say."""
    statistics_of_device = jax.local_devices()[0].memory_stats()
    return None if statistics_of_device is None else statistics_of_device.get("peak_bytes_in_use")
