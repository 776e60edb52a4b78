"""ModelSpec, StackPlan, tensors -> class Model: embedding, blocks, last norm, head."""

from __future__ import annotations

from collections.abc import Sequence

from moec.compiler.emit.blocks import BLOCK_OF_KIND
from moec.compiler.emit.holes import Code, code, comment, docstring, identifier, lines, literal
from moec.compiler.emit.layout import call, given, keyword
from moec.compiler.emit.norms import normalised
from moec.compiler.emit.weights import BODY_INDENT, weights
from moec.compiler.places import Places
from moec.compiler.plan import LayerKind, Plan
from moec.compiler.typed import ModelSpec
from moec.compiler.units import plural

_REMAT_IN_WORDS = {
    "none": "every activation is kept for the backward pass",
    "full": "the backward pass computes each {piece} again from its input",
    "save_dots": "the backward pass keeps the results of matmuls and computes the rest again",
    "names": "the backward pass keeps the named activations and computes the rest again",
}


def model_class(plan: Plan, places: Places) -> Code:
    """The whole forward pass but for the head, which the objective applies in chunks."""
    spec = plan.run.model
    return code(
        """
class Model(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {tables}
        {blocks}
        {rest}

    def __call__(self, batch: Batch, caches: tuple[KeyValues, ...] | None = None) -> ModelOutput:
        x_BSD = constrain(embed(batch.tokens_BS, self.w_embed, dtype={dtype}), RESIDUAL)
        {remat}
        {run}
        return ModelOutput({hidden}, caches, routers)

    def head_DV(self) -> jax.Array:
        {head_doc}
        return {head}
""",
        doc=docstring(places.cited(_describe(plan), "model"), *_own_words(spec)),
        tables=weights(plan, "Model", "w_embed"),
        blocks=_blocks(plan),
        rest=weights(plan, "Model", "final_norm", "final_norm_bias", "w_head"),
        dtype=code("jnp.{dtype}", dtype=identifier(spec.dtype.compute)),
        remat=_remat_comment(plan, places),
        run=_run(plan),
        hidden=normalised(spec.norm, code("x_BSD"), "final_norm"),
        head_doc=docstring("The matrix from hidden states to logits" + _tied_in_words(spec)),
        head=code("self.w_embed[...].T") if spec.tie_embeddings else code("self.w_head[...]"),
    )


def _describe(plan: Plan) -> str:
    spec = plan.run.model
    head = "the embedding as head" if spec.tie_embeddings else "a head of its own"
    return f"Decoder-only transformer: embedding, {plural(spec.n_layers, 'block')}, final norm, {head}."


def _own_words(spec: ModelSpec) -> tuple[str, ...]:
    """The doc comment that the user wrote over the model."""
    return ("", *spec.doc.strip().splitlines()) if spec.doc.strip() else ()


def _tied_in_words(spec: ModelSpec) -> str:
    return ", which is the embedding's transpose." if spec.tie_embeddings else "."


def _blocks(plan: Plan) -> Code:
    stack = plan.stack
    head = _list_of_blocks(stack.head) if stack.head else None
    if not stack.scan:
        return lines(head)
    period = call(
        code("self.periods = init.stacked"),
        code("Period"),
        given("repeats", stack.repeats),
        given("layers", len(stack.period)),
        given("first", len(stack.head) + 1),
        indent=BODY_INDENT,
    )
    return lines(head, period)


def _list_of_blocks(kinds: Sequence[LayerKind]) -> Code:
    blocks = [
        code("{block}(init.layer({number})),", block=identifier(BLOCK_OF_KIND[kind]), number=literal(number))
        for number, kind in enumerate(kinds, start=1)
    ]
    return code(
        """
self.blocks = nnx.List(
    [
        {blocks}
    ]
)
""",
        blocks=lines(*blocks),
    )


def _remat_comment(plan: Plan, places: Places) -> Code:
    words = _REMAT_IN_WORDS[plan.run.remat.policy].format(piece="period" if len(plan.stack.period) > 1 else "block")
    return comment(
        f"Computes in {plan.run.model.dtype.compute}; {words}" + places.mention("remat.policy"),
        BODY_INDENT,
    )


def _run(plan: Plan) -> Code:
    stack, remat = plan.stack, plan.run.remat
    arguments = [
        code("self.periods") if stack.scan else code("self.blocks"),
        code("x_BSD"),
        code("batch"),
        code("caches"),
    ]
    if stack.scan and stack.head:
        arguments.append(keyword("head", code("self.blocks")))
    arguments.append(given("remat", remat.policy))
    if remat.policy == "names":
        arguments += [given("save", remat.save), given("offload", remat.offload)]
    runner = code("scan_layers") if stack.scan else code("run_layers")
    before = code("x_BSD, caches, routers = {runner}", runner=runner)
    return call(before, *arguments, indent=BODY_INDENT)
