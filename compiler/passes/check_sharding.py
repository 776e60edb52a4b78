"""RunSpec, MeshPlan -> diagnostics: every length that a mesh axis cuts is a multiple of that axis.

XLA pads an uneven activation silently and computes on the padding; here it is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from moec.compiler.passes.places import place
from moec.compiler.plan import MeshPlan
from moec.compiler.typed import RunSpec
from moec.spec.codes import depth_routing as depth_codes
from moec.spec.codes import mesh as codes
from moec.spec.diagnostics import Diagnostic


def check_sharding(run: RunSpec, mesh: MeshPlan) -> tuple[Diagnostic, ...]:
    """One error per length and axis that does not divide it, and one for sequences in parts that depth routing must see
    whole. Errors: MOE4204, MOE5202."""
    uneven = tuple(
        codes.axis_does_not_divide(
            place(run, path), path.rpartition(".")[2], size, axis, mesh.axes[axis], place(run, f"mesh.axes.{axis}")
        )
        for path, size, axis in cut_lengths(run, mesh)
        if size % mesh.axes[axis]
    )
    if run.model.depth_routing is None or mesh.axes["seq"] == 1:
        return uneven
    at, seq_at = place(run, "model.depth_routing.capacity"), place(run, "mesh.axes.seq")
    return (*uneven, depth_codes.sequence_is_cut(at, mesh.axes["seq"], seq_at))


def cut_lengths(run: RunSpec, mesh: MeshPlan) -> Iterator[tuple[str, int, str]]:
    """Every (field, its length, axis that cuts it), as docs/notation.md lists the shardings."""
    model = run.model
    yield "model.seq_len", model.seq_len, "seq"
    yield "model.attention.n_heads", model.attention.n_heads, "model"
    # Where the query heads are at fault, fewer key-value heads are not told of as well.
    if model.attention.n_heads % mesh.axes["model"] == 0:
        yield "model.attention.n_kv_heads", model.attention.n_kv_heads, "model"
    yield "model.vocab_size", model.vocab_size, "model"
    yield "model.d_model", model.d_model, "fsdp"
    yield "model.d_model", model.d_model, "model"
    if model.ffn is not None:
        yield "model.ffn.d_ff", model.ffn.d_ff, "model"
    if model.experts is not None:
        yield "model.experts.d_ff", model.experts.d_ff, "model"
        yield "model.experts.n_experts", model.experts.n_experts, "expert"
