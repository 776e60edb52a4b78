"""DepthRoutingSpec, tensors -> class RoutedBlock: a DenseBlock that takes some tokens of each sequence."""

from __future__ import annotations

from moec.compiler.emit.holes import Code, code, comment, docstring, literal
from moec.compiler.emit.weights import BODY_INDENT, weights
from moec.compiler.formula_text import mentioned
from moec.compiler.formulas.depth_routing import taken_tokens
from moec.compiler.places import Places
from moec.compiler.plan import Plan
from moec.compiler.units import layers_in_words


def routed_block_class(plan: Plan, places: Places) -> Code:
    """The router, the dense block inside, and the way there and back."""
    return code(
        """
class RoutedBlock(nnx.Module):
    {doc}

    def __init__(self, init: Initializer) -> None:
        {weights}
        self.block = DenseBlock(init)

    def __call__(self, x_BSD: jax.Array, batch: Batch, cache: KeyValues | None) -> BlockOutput:
        scores_BS = score_tokens(x_BSD, self.w_depth, batch)
        {why}
        choice = choose_tokens(scores_BS, batch, capacity={capacity})
        taken_BCD = constrain(gather_tokens(x_BSD, choice), RESIDUAL)
        y_BCD, cache, _ = self.block(taken_BCD, choice.batch, cache)
        x_BSD = constrain(scatter_tokens(x_BSD, y_BCD - taken_BCD, choice), RESIDUAL)
        return BlockOutput(x_BSD, cache, report_depth(choice))
""",
        doc=docstring(places.cited(_describe(plan), "model.depth_routing")),
        weights=weights(plan, "RoutedBlock"),
        why=comment(
            f"{mentioned(plan, 'taken_tokens')}; in evaluation and generation those that score above 0"
            + places.mention("model.depth_routing.capacity"),
            BODY_INDENT,
        ),
        capacity=literal(tokens_taken_by_layers(plan)),
    )


def tokens_taken_by_layers(plan: Plan) -> int:
    """Tokens of a sequence that a routed layer of this plan takes."""
    model = plan.run.model
    assert model.depth_routing is not None, "only depth routing makes routed layers"
    return taken_tokens(model.depth_routing.capacity, model.seq_len)


def routed_layers(plan: Plan) -> str:
    """`Layers 2 and 4`."""
    return layers_in_words(plan.stack.numbers_of("routed"))


def _describe(plan: Plan) -> str:
    taken = f"the {tokens_taken_by_layers(plan):,} best of {plan.run.model.seq_len:,} tokens"
    return (
        f"{routed_layers(plan)}: {taken} of a sequence go through a dense block, which sees no others; what it adds is "
        "weighted with the router's score."
    )
