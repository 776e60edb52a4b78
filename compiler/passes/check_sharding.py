"""RunSpec, MeshPlan -> diagnostics: every dim that a mesh axis cuts is a multiple of that axis.

XLA pads an uneven activation silently and computes on the padding; here it is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from moec.compiler.passes.places import place
from moec.compiler.plan import MeshPlan
from moec.compiler.typed import RunSpec
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic


def check_sharding(run: RunSpec, mesh: MeshPlan) -> tuple[Diagnostic, ...]:
    """One error per dim and axis that does not divide it. Errors: MOE4204 to MOE4212."""
    return tuple(
        codes.axis_does_not_divide(
            place(run, path), code, path.rpartition(".")[2], size, axis, mesh.axes[axis], axis_at
        )
        for code, path, size, axis in cut_dims(run)
        if size % mesh.axes[axis]
        for axis_at in (place(run, f"mesh.axes.{axis}"),)
    )


def cut_dims(run: RunSpec) -> Iterator[tuple[str, str, int, str]]:
    """Every (code, field, its size, axis that cuts it), as docs/notation.md lists the shardings."""
    model = run.model
    yield "MOE4204", "model.seq_len", model.seq_len, "seq"
    yield "MOE4205", "model.attention.n_heads", model.attention.n_heads, "model"
    yield "MOE4206", "model.attention.n_kv_heads", model.attention.n_kv_heads, "model"
    yield "MOE4208", "model.vocab_size", model.vocab_size, "model"
    yield "MOE4209", "model.d_model", model.d_model, "fsdp"
    yield "MOE4210", "model.d_model", model.d_model, "model"
    if model.ffn is not None:
        yield "MOE4207", "model.ffn.d_ff", model.ffn.d_ff, "model"
    if model.experts is not None:
        yield "MOE4211", "model.experts.d_ff", model.experts.d_ff, "model"
        yield "MOE4212", "model.experts.n_experts", model.experts.n_experts, "expert"
