"""FfnSpec, ExpertsSpec, tensors -> class Ffn and class SharedExperts."""

from __future__ import annotations

from typing import Final

from moec.compiler.emit.holes import Code, code, docstring, identifier, lines
from moec.compiler.emit.mesh import gathered, scattered
from moec.compiler.emit.weights import has_weight, weights
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.units import plural

ACTIVATION_IN_WORDS: Final = {"swiglu": "SwiGLU", "geglu": "GEGLU", "gelu": "GELU", "relu2": "squared-ReLU"}


def ffn_class(plan: Plan, places: Places) -> Code:
    """The feed-forward layer of the dense blocks."""
    spec = plan.run.model.ffn
    assert spec is not None
    doc = f"{ACTIVATION_IN_WORDS[spec.activation]} feed-forward layer of width {spec.d_ff:,}."
    return _feed_forward(plan, "Ffn", spec.activation, places.cited(doc, "model.ffn"))


def shared_experts_class(plan: Plan, places: Places) -> Code:
    """What every token of a MoE layer passes through besides its own experts."""
    spec = plan.run.model.experts
    assert spec is not None
    width = spec.n_shared_experts * spec.d_ff
    shared = plural(spec.n_shared_experts, "shared expert")
    layer = f"{ACTIVATION_IN_WORDS[spec.activation]} layer of width {width:,}"
    doc = f"{shared} of width {spec.d_ff:,}, together one {layer}."
    return _feed_forward(plan, "SharedExperts", spec.activation, places.cited(doc, "model.experts.n_shared_experts"))


def _feed_forward(plan: Plan, owner: str, activation: str, doc: str) -> Code:
    bias = code(", self.b_down") if has_weight(plan, owner, "b_down") else code("")
    return code(
        """
class {owner}(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {weights}

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        {hidden}
        return {output}
""",
        owner=identifier(owner),
        doc=docstring(doc),
        weights=weights(plan, owner),
        hidden=lines(
            gathered(plan),
            _hidden(activation, gated=has_weight(plan, owner, "w_gate"), bias=has_weight(plan, owner, "b_up")),
        ),
        output=scattered(plan, code("project_out(hidden_BSF, self.w_down{bias})", bias=bias)),
    )


def _hidden(activation: str, *, gated: bool, bias: bool) -> Code:
    function = identifier(activation)
    gate = code("gate_BSF = project(x_BSD, self.w_gate{bias})", bias=code(", self.b_gate") if bias else code(""))
    up = code("up_BSF = project(x_BSD, self.w_up{bias})", bias=code(", self.b_up") if bias else code(""))
    if not gated:
        return lines(up, code("hidden_BSF = {function}(up_BSF)", function=function))
    return lines(gate, up, code("hidden_BSF = {function}(gate_BSF, up_BSF)", function=function))
