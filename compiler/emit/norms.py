"""NormSpec -> the call that normalises, and the sum that ends a residual branch."""

from __future__ import annotations

from typing import Final

from moec.compiler.emit.holes import Code, code, identifier, literal
from moec.compiler.passes.choose_kernels import forks_norms
from moec.compiler.plan import Plan
from moec.compiler.typed import NormSpec, Placement

FORKED: Final = ("attention_norm", "ffn_norm")
"""The norms that have kernels of their own on GPUs. XLA makes the experts' where it gathers and adds up their rows, and
moves fewer bytes so. Source: docs/log.md, 2026-11-28, compiled for an H100."""


def normalised(spec: NormSpec, value: Code, name: str) -> Code:
    """`rms_norm(x_BSD, self.ffn_norm, eps=1e-5)`: `value` normalised with the weights `name` of the module."""
    eps, scale = literal(spec.eps), identifier(name)
    if spec.kind == "layernorm":
        return code(
            "layer_norm({value}, self.{scale}, self.{scale}_bias, eps={eps})", value=value, scale=scale, eps=eps
        )
    return code("rms_norm({value}, self.{scale}, eps={eps})", value=value, scale=scale, eps=eps)


def branch_input(placement: Placement) -> Code:
    """What a residual branch reads."""
    return code("x_BSD") if placement == "post" else code("normed_BSD")


def branch_norm(plan: Plan, placement: Placement, name: str) -> Code | None:
    """The line that makes `normed_BSD`, None where the branch reads the residual stream as it is."""
    spec = plan.run.model.norm
    if placement == "post":
        return None
    if _is_forked(plan, name):
        scale, eps = identifier(name), literal(spec.eps)
        return code("x_BSD, normed_BSD = fork_rms_norm(x_BSD, self.{scale}, eps={eps})", scale=scale, eps=eps)
    return code("normed_BSD = {value}", value=normalised(spec, code("x_BSD"), name))


def sum_and_norm(plan: Plan, placement: Placement, name: str, y_BSD: Code) -> Code | None:
    """The line that adds `y_BSD` to the residual stream and makes `normed_BSD` of the next branch, None where there is
    none for both: where `y_BSD` is normalised first, and where `branch_norm` forks nothing."""
    norm = plan.run.model.norm
    if norm.placement != "pre" or placement == "post" or not _is_forked(plan, name):
        return None
    scale, eps = identifier(name), literal(norm.eps)
    return code("x_BSD, normed_BSD = add_rms_norm(x_BSD, {y}, self.{scale}, eps={eps})", y=y_BSD, scale=scale, eps=eps)


def _is_forked(plan: Plan, name: str) -> bool:
    return name in FORKED and forks_norms(plan.run, plan.mesh)


def branch_sum(spec: NormSpec, placement: Placement, name: str, y_BSD: Code) -> Code:
    """The line that adds `y_BSD`, what a residual branch gives, to the residual stream."""
    if placement == "post":
        total = code("x_BSD + {y}", y=y_BSD)
        return code("x_BSD = {total}", total=normalised(spec, total, name))
    added = normalised(spec, y_BSD, f"{name}_after") if placement == "hybrid" else y_BSD
    return code("x_BSD = x_BSD + {added}", added=added)
