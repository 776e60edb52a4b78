"""AttentionSpec, tensors -> class Attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from moec.compiler.emit.holes import Code, code, docstring, lines, listed, literal
from moec.compiler.emit.layout import call, given
from moec.compiler.emit.mesh import gathered, scattered
from moec.compiler.emit.weights import BODY_INDENT, weights
from moec.compiler.passes.choose_kernels import projects_at_once
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.typed import AttentionSpec
from moec.compiler.units import plural

WEIGHTS: Final = (code("self.w_q"), code("self.w_k"), code("self.w_v"))
BIASES: Final = (code("self.b_q"), code("self.b_k"), code("self.b_v"))


def attention_class(plan: Plan, places: Places) -> Code:
    """Projections, rotary positions, the kernel, the output projection."""
    spec = plan.run.model.attention
    return code(
        """
class Attention(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {weights}

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> tuple[jax.Array, KeyValues | None]:
        {projections}
        {attend}
        return {output}, cache
""",
        doc=docstring(places.cited(_describe(spec), "model.attention")),
        weights=weights(plan, "Attention"),
        projections=lines(gathered(plan), *_projections(plan)),
        output=scattered(
            plan, code("merge_heads(mixed_BSNH, self.w_o{b_o})", b_o=code(", self.b_o") if spec.bias else code(""))
        ),
        attend=_attend(plan),
    )


def _describe(spec: AttentionSpec) -> str:
    heads = plural(spec.n_heads, "query head")
    shared = plural(spec.n_kv_heads, "key-value head")
    parts = [f"{heads} and {shared} of width {spec.d_head}", "rotary positions"]
    if spec.qk_norm:
        parts.append("queries and keys normalised per head")
    if spec.window is not None:
        parts.append(f"each token sees the last {spec.window:,} only")
    return f"Causal attention: {', '.join(parts)}."


def _projections(plan: Plan) -> Iterator[Code]:
    """Queries, keys and values: one matmul where that saves kernels or sums over devices."""
    spec = plan.run.model.attention
    q, k, v = code("q_BSNH"), code("k_BSGH"), code("v_BSGH")
    if projects_at_once(plan.run, plan.mesh):
        arguments = listed(code("x_BSD"), *WEIGHTS, *(BIASES if spec.bias else ()))
        yield code("{heads} = project_qkv({arguments})", heads=listed(q, k, v), arguments=arguments)
        yield _rotated(plan, q, q, code("self.q_norm"))
        yield _rotated(plan, k, k, code("self.k_norm"))
        return
    query, key, value = (
        code("split_heads({arguments})", arguments=listed(code("x_BSD"), weight, *((bias,) if spec.bias else ())))
        for weight, bias in zip(WEIGHTS, BIASES, strict=True)
    )
    yield _rotated(plan, q, query, code("self.q_norm"))
    yield _rotated(plan, k, key, code("self.k_norm"))
    yield code("{v} = {value}", v=v, value=value)


def _rotated(plan: Plan, heads: Code, projected: Code, norm: Code) -> Code:
    """Queries or keys: normalised where the spec says so, rotated."""
    model = plan.run.model
    theta = literal(model.attention.rope_theta)
    if not model.attention.qk_norm:
        return code(
            "{heads} = rope({projected}, batch.positions_BS, theta={theta})",
            heads=heads,
            projected=projected,
            theta=theta,
        )
    return code(
        """
{heads} = rms_norm({projected}, {norm}, eps={eps})
{heads} = rope({heads}, batch.positions_BS, theta={theta})
""",
        heads=heads,
        projected=projected,
        norm=norm,
        eps=literal(model.norm.eps),
        theta=theta,
    )


def _attend(plan: Plan) -> Code:
    spec = plan.run.model.attention
    arguments = [code("q_BSNH"), code("k_BSGH"), code("v_BSGH"), code("batch"), code("cache")]
    arguments.append(given("kernel", plan.kernels.attention))
    if plan.kernels.documents is not None:
        arguments.append(given("documents", plan.kernels.documents))
    if spec.window is not None:
        arguments.append(given("window", spec.window))
    if spec.softcap is not None:
        arguments.append(given("softcap", spec.softcap))
    return call(code("mixed_BSNH, cache = attend"), *arguments, indent=BODY_INDENT)
