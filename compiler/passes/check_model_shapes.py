"""RunSpec -> diagnostics: the numbers of the model fit each other, on any mesh.

Types, units and ranges of single fields were checked when the spec was resolved; meshes come later.
"""

from __future__ import annotations

from collections.abc import Iterator

from moec.compiler.passes.places import place
from moec.compiler.typed import DepthRoutingSpec, ExpertsSpec, RunSpec
from moec.spec.codes import depth_routing as depth_codes
from moec.spec.codes import experts as experts_codes
from moec.spec.codes import model as codes
from moec.spec.diagnostics import Diagnostic


def check_model_shapes(run: RunSpec) -> tuple[Diagnostic, ...]:
    """Errors of attention and of routing. Errors: MOE3101 to MOE3103, MOE3109, MOE5101, MOE5108, MOE5109, MOE5201,
    MOE5204."""
    experts, depth_routing = run.model.experts, run.model.depth_routing
    return (
        *check_heads(run),
        *(check_routing(run, experts) if experts else ()),
        *(check_depth_routing(run, depth_routing) if depth_routing else ()),
    )


def check_heads(run: RunSpec) -> Iterator[Diagnostic]:
    """Heads divide the width, key-value heads divide the heads, and RoPE has pairs to turn."""
    model, attention = run.model, run.model.attention
    n_heads = place(run, "model.attention.n_heads")
    if attention.n_heads % attention.n_kv_heads:
        kv_heads = place(run, "model.attention.n_kv_heads")
        yield codes.kv_heads_do_not_divide(kv_heads, attention.n_heads, attention.n_kv_heads, n_heads)
    if model.d_model % attention.n_heads and "model.attention.d_head" not in run.written:
        d_model = place(run, "model.d_model")
        yield codes.heads_do_not_divide(n_heads, model.d_model, attention.n_heads, d_model)
    elif attention.d_head % 2:
        yield codes.odd_head(place(run, "model.attention.d_head"), attention.d_head)
    if attention.window is not None and attention.window >= model.seq_len:
        window, seq_len = place(run, "model.attention.window"), place(run, "model.seq_len")
        yield codes.window_too_wide(window, attention.window, model.seq_len, seq_len)


def check_routing(run: RunSpec, experts: ExpertsSpec) -> Iterator[Diagnostic]:
    """Choices fit the experts, and every loss weight has a term in the objective."""
    at = {
        name: place(run, f"model.experts.{name}") for name in ("top_k", "n_experts", "z_loss", "renormalize", "score")
    }
    if experts.top_k > experts.n_experts:
        yield experts_codes.more_choices_than_experts(at["top_k"], experts.top_k, experts.n_experts, at["n_experts"])
    if experts.z_loss and experts.score == "sigmoid":
        yield experts_codes.z_loss_without_softmax(at["z_loss"], experts.z_loss, at["score"])
    normalized = experts.score == "softmax" and experts.order == "topk_then_score"
    if normalized and experts.top_k > 1 and not experts.renormalize:
        yield experts_codes.cannot_leave_unnormalized(at["renormalize"], place(run, "model.experts.order"))


def check_depth_routing(run: RunSpec, routing: DepthRoutingSpec) -> Iterator[Diagnostic]:
    """A routed layer takes whole tokens, and attention among them needs no distances."""
    at, model = place(run, "model.depth_routing.capacity"), run.model
    if (routing.capacity * model.seq_len).denominator != 1:
        yield depth_codes.capacity_not_whole(at, routing.capacity, model.seq_len, place(run, "model.seq_len"))
    if model.attention.window is not None:
        window_at = place(run, "model.attention.window")
        yield depth_codes.beside_window(at, model.attention.window, window_at)
