"""RunSpec, MeshPlan -> BatchPlan: the step's tokens as sequences, micro-batches and shares of a device."""

from __future__ import annotations

from typing import Final

from moec.compiler.passes.places import place
from moec.compiler.plan import BatchPlan, MeshPlan
from moec.compiler.typed import RunSpec
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic

BATCH_AXES: Final = ("data", "fsdp", "expert")
"""The mesh axes that hold different sequences; `seq` holds parts of one, `model` the same."""


def split_batch(run: RunSpec, mesh: MeshPlan) -> tuple[BatchPlan | None, tuple[Diagnostic, ...]]:
    """Whole sequences, equally many per device and micro-batch. Errors: MOE4201 to MOE4203."""
    tokens, seq_len = run.batch.tokens, run.model.seq_len
    here, seq_len_at = place(run, "batch.tokens"), place(run, "model.seq_len")
    if tokens % seq_len:
        return None, (codes.batch_not_sequences(here, tokens, seq_len, seq_len_at),)
    micro = tokens if run.batch.micro == "auto" else run.batch.micro
    if micro > tokens or micro % seq_len or tokens % micro:
        return None, (codes.micro_does_not_divide(place(run, "batch.micro"), micro, tokens, seq_len, here),)
    sizes = {axis: mesh.axes[axis] for axis in BATCH_AXES}
    micro_batches = tokens // micro
    shares = sizes["data"] * sizes["fsdp"] * sizes["expert"]
    if micro // seq_len % shares:
        axes_at = place(run, f"mesh.axes.{max(BATCH_AXES, key=lambda axis: sizes[axis])}")
        told = codes.batch_not_divisible(here, tokens // seq_len, seq_len, sizes, micro_batches, axes_at)
        return None, (told,)
    per_device = tokens // (shares * mesh.axes["seq"])
    return BatchPlan(tokens, tokens // seq_len, micro_batches, micro // seq_len, per_device), ()
