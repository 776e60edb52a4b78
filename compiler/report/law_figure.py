"""Plan -> loss by size, as each law that speaks of such a model has it, with this run marked. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from moec.compiler.laws.chinchilla import TOKENS_PER_PARAM
from moec.compiler.laws.law import Law, surface_of
from moec.compiler.laws.registry import LAWS
from moec.compiler.laws.surface import Surface
from moec.compiler.passes.ask_law import counted, outside_fit, routed_of
from moec.compiler.plan import Plan
from moec.compiler.typed import Counted
from moec.compiler.units import count

POINTS: Final = 81
"""Of one curve."""

SPAN: Final = 30.0
"""How far the picture goes beyond the sizes that are marked, as a factor."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One law: `points` are (N, loss above the least of the curve). This run is at N = `chosen_params`, where the law
    predicts `loss`, which is `above` the least. `counts` is what N counts; `doubts` what the law was not fitted on."""

    law: str
    counts: Counted
    points: tuple[tuple[float, float], ...]
    chosen_params: float
    loss: float
    above: float
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LawFigure:
    """Loss against size at the FLOPs of this run. `ratio_params` is where the rule of a fixed ratio would be."""

    title: str
    note: str
    curves: tuple[Curve, ...]
    ratio_params: float
    ratio_text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A law with this run's routing put in."""

    law: Law
    counts: Counted
    surface: Surface
    n_params: float
    doubts: tuple[str, ...]


def law_figure(plan: Plan) -> LawFigure:
    """Loss by each law for models of other sizes that take as many training FLOPs by its own rule.

    The law that sets the budget comes first; laws that say nothing of such a model are left out.
    """
    tokens, asked = plan.budget.tokens, tuple(_asked(plan))
    n_params = tokens / plan.budget.tokens_per_param
    ratio = (n_params * tokens / TOKENS_PER_PARAM) ** 0.5
    marked = (ratio, *(one.n_params for one in asked))
    sizes = tuple(_between(min(marked) / SPAN, max(marked) * SPAN))
    count_of = counted(plan.run.budget).replace("_", " ")
    return LawFigure(
        "Loss by size of model, at the training FLOPs of this run",
        f"this run: {count(round(n_params))} {count_of} parameters, {count(tokens)} tokens",
        tuple(_curve(one, sizes, tokens) for one in asked),
        ratio,
        f"{TOKENS_PER_PARAM:g} tokens per parameter, {count(round(ratio))}",
    )


def _asked(plan: Plan) -> Iterator[Asked]:
    """The laws that predict a loss for this model, each with the N that it means."""
    own = plan.run.budget.law
    for name in sorted(LAWS, key=lambda name: name != own):
        law = LAWS[name]
        counts = counted(plan.run.budget) if counted(plan.run.budget) in law.counts else law.counts[0]
        run = replace(plan.run, budget=replace(plan.run.budget, count=counts))
        routed = routed_of(run, plan.tensors, plan.parameters)
        surface = surface_of(law, routed)
        if isinstance(surface, Surface):
            doubts = tuple(outside_fit(law.fitted, routed, plan.budget.tokens))
            yield Asked(law, counts, surface, float(routed.n_params), doubts)


def _curve(asked: Asked, sizes: tuple[float, ...], tokens: int) -> Curve:
    """The law at the run's FLOPs, above its least loss among the sizes shown."""
    points = [(n_params, _loss(asked, n_params, tokens)) for n_params in sizes]
    least = min(loss for _, loss in points)
    above = tuple((n_params, loss - least) for n_params, loss in points)
    loss = _loss(asked, asked.n_params, tokens)
    return Curve(asked.law.name, asked.counts, above, asked.n_params, loss, max(0.0, loss - least), asked.doubts)


def _loss(asked: Asked, n_params: float, tokens: int) -> float:
    """Of `n_params` with the tokens that leave the FLOPs as they are.

    Assumption: the law's FLOPs per token grow as N**elasticity over the whole picture, as they do near this run.
    """
    return asked.surface.loss(n_params, tokens * (asked.n_params / n_params) ** asked.surface.elasticity)


def _between(low: float, high: float) -> Iterator[float]:
    """Sizes from `low` to `high`, evenly on a logarithmic scale."""
    start, end = log(low), log(high)
    return (exp(start + (end - start) * step / (POINTS - 1)) for step in range(POINTS))
