"""StackPlan, tensors -> class DenseBlock, class MoeBlock and, where the layers are scanned, class Period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moec.compiler.emit.holes import Code, code, docstring, identifier, lines, literal
from moec.compiler.emit.norms import branch_input, branch_norm, branch_sum, sum_and_norm
from moec.compiler.emit.weights import weights
from moec.compiler.places import Places
from moec.compiler.plan import LayerKind, Plan
from moec.compiler.typed import Placement
from moec.compiler.units import layers_in_words, plural

BLOCK_OF_KIND: Final[Mapping[LayerKind, str]] = {"dense": "DenseBlock", "moe": "MoeBlock", "routed": "RoutedBlock"}
_PLACEMENT_IN_WORDS: Final = {
    "pre": "normalised before",
    "post": "normalised after it is added",
    "hybrid": "normalised before and after",
}


def block_class(plan: Plan, places: Places, kind: LayerKind) -> Code:
    """Attention and one feed-forward branch, each on the residual stream."""
    return code(
        """
class {block}(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {weights}

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        {attention}
        {branch}
""",
        block=identifier(BLOCK_OF_KIND[kind]),
        doc=docstring(places.cited(_describe(plan, kind), _origin(kind))),
        weights=_modules(plan, kind),
        attention=_attention_branch(plan, kind),
        branch=_experts_branch(plan) if kind == "moe" else _ffn_branch(plan),
    )


def _origin(kind: LayerKind) -> str:
    return "model.experts.every" if kind == "moe" else "model.n_layers"


def _describe(plan: Plan, kind: LayerKind) -> str:
    layers = _where(plan, kind)
    branch = "experts" if kind == "moe" else "feed-forward"
    first, second = _PLACEMENT_IN_WORDS[plan.run.model.norm.placement], _PLACEMENT_IN_WORDS[_placement(plan, kind)]
    if first == second:
        return f"{layers}: attention and {branch}, each {first}."
    return f"{layers}: attention, {first}, and {branch}, {second}."


def _where(plan: Plan, kind: LayerKind) -> str:
    """`Layers 1 and 3, and in RoutedBlock`."""
    numbers = plan.stack.numbers_of(kind)
    layers = layers_in_words(numbers)
    if kind == "moe" or not plan.stack.numbers_of("routed"):
        return layers
    return f"{layers}, and in RoutedBlock" if numbers else "In RoutedBlock"


def _placement(plan: Plan, kind: LayerKind) -> Placement:
    branch = plan.run.model.experts if kind == "moe" else plan.run.model.ffn
    assert branch is not None
    return branch.norm


def _modules(plan: Plan, kind: LayerKind) -> Code:
    block = BLOCK_OF_KIND[kind]
    norms = [tensor.name for tensor in plan.tensors if tensor.owner == block]
    of_attention = [name for name in norms if name.startswith("attention_norm")]
    of_branch = [name for name in norms if name not in of_attention]
    branch = code("self.ffn = Ffn(init)") if kind == "dense" else code("self.experts = Experts(init)")
    return lines(
        weights(plan, block, *of_attention),
        code("self.attention = Attention(init)"),
        weights(plan, block, *of_branch),
        branch,
        code("self.shared_experts = SharedExperts(init)") if kind == "moe" and has_shared_experts(plan) else None,
    )


def has_shared_experts(plan: Plan) -> bool:
    """Whether MoE blocks have experts that every token passes through."""
    return any(tensor.owner == "SharedExperts" for tensor in plan.tensors)


def _attention_branch(plan: Plan, kind: LayerKind) -> Code:
    """Attention, added to the residual stream, and the norm before the branch that follows."""
    norm, placement = plan.run.model.norm, _placement(plan, kind)
    following = "experts_norm" if kind == "moe" else "ffn_norm"
    read, mixed = branch_input(norm.placement), code("mixed_BSD")
    both = sum_and_norm(plan, placement, following, mixed)
    return lines(
        branch_norm(plan, norm.placement, "attention_norm"),
        code("mixed_BSD, cache = self.attention({read}, batch, cache)", read=read),
        both or branch_sum(norm, norm.placement, "attention_norm", mixed),
        None if both else branch_norm(plan, placement, following),
    )


def _ffn_branch(plan: Plan) -> Code:
    norm, placement = plan.run.model.norm, _placement(plan, "dense")
    return lines(
        branch_sum(norm, placement, "ffn_norm", code("self.ffn({read})", read=branch_input(placement))),
        code("return BlockOutput(x_BSD, cache, None)"),
    )


def _experts_branch(plan: Plan) -> Code:
    norm, placement = plan.run.model.norm, _placement(plan, "moe")
    read = branch_input(placement)
    shared = code("y_BSD = y_BSD + self.shared_experts({read})", read=read) if has_shared_experts(plan) else None
    return lines(
        code("y_BSD, report = self.experts({read}, batch)", read=read),
        shared,
        branch_sum(norm, placement, "experts_norm", code("y_BSD")),
        code("return BlockOutput(x_BSD, cache, report)"),
    )


def period_class(plan: Plan) -> Code:
    """The repeated run of blocks of a scanned stack."""
    stack = plan.stack
    blocks = [
        code("{block}(init.layer({number})),", block=identifier(BLOCK_OF_KIND[kind]), number=literal(number))
        for number, kind in enumerate(stack.period, start=1)
    ]
    first = len(stack.head) + 1
    doc = f"{plural(len(stack.period), 'layer')}, repeated {stack.repeats} times from layer {first} on."
    return code(
        """
class Period(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        self.blocks = nnx.List(
            [
                {blocks}
            ]
        )

    def __call__(self, x_BSD: jax.Array, batch: Batch, caches: tuple[KeyValues, ...] | None) -> LayersOutput:
        return run_layers(self.blocks, x_BSD, batch, caches)
""",
        doc=docstring(doc),
        blocks=lines(*blocks),
    )
