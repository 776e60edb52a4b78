"""RunSpec with `scale = auto` -> runs with sizes, best first: integers from the lattice, scored by the budget's law.

FLOPs per token are those that the compiler counts, not 6 N; the law's N is worked out by its own meaning. Which of them
the mesh can hold is for the planner to say, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Final

from moec.compiler.laws.law import Law, Routed, is_tie, surface_of
from moec.compiler.laws.registry import LAWS
from moec.compiler.laws.solve import compute_optimal
from moec.compiler.laws.surface import Surface
from moec.compiler.passes.ask_law import (
    WHAT_ELSE,
    LawAnswer,
    check_fitted,
    routed_of,
    tokens_per_param,
)
from moec.compiler.passes.places import place
from moec.compiler.plan import FlopCounts, ParameterCounts, ScaleChoice, ScalePlan, TensorPlan
from moec.compiler.planner.lattice import grid_of, models_near
from moec.compiler.typed import RunSpec
from moec.spec.codes import budget as codes
from moec.spec.diagnostics import Diagnostic

TRIED: Final = 8
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Sized:
    """What is counted of a model before it lies on a mesh."""

    tensors: tuple[TensorPlan, ...]
    parameters: ParameterCounts
    flops: FlopCounts


SizeOf = Callable[[RunSpec], Sized | None]
"""The counts of a run's model, None where its shapes do not hold."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """One size. `score` is its loss, or for a ratio the distance of ln(D / N) from it; `bent` how far the depth is from
    the written proportion."""

    run: RunSpec
    routed: Routed
    flops_per_token: float
    tokens: float
    loss: float | None
    score: float
    bent: float

    @property
    def rank(self) -> tuple[float, float, int]:
        """By the score to four digits after the point, then nearest to the written proportion, then the smaller."""
        return round(self.score, 4), self.bent, self.routed.n_params


def scales(run: RunSpec, size_of: SizeOf) -> tuple[tuple[Scaled, ...], tuple[Diagnostic, ...]]:
    """Every size near what the law asks for, best first. Errors: MOE6104, MOE6109, MOE6112."""
    budget, at = run.budget, place(run, "model.scale")
    if budget.law is None or budget.train_flops is None:
        return (), (codes.scale_without_law(at, place(run, "budget")),)
    law = LAWS[budget.law]
    written = size_of(replace(run, model=replace(run.model, scale="written")))
    if written is None:
        return (), ()
    routed = routed_of(run, written.tensors, written.parameters)
    surface = surface_of(law, routed)
    if isinstance(surface, str):
        return (), (codes.law_says_nothing(place(run, "budget.law"), law.name, surface, WHAT_ELSE),)
    wanted = wanted_params(run, surface, float(written.flops.train_per_token) / routed.n_params)
    if wanted is None:
        why = f"it has no best size for {budget.train_flops:,} FLOPs"
        return (), (codes.law_says_nothing(place(run, "budget.law"), law.name, why, WHAT_ELSE),)
    found = []
    for model in models_near(run.model, wanted / routed.n_params, grid_of(run.mesh)):
        sized = replace(run, model=model, written=run.written | {"model.attention.d_head"})
        one = _score(sized, law, size_of, run.model.n_layers / run.model.d_model)
        found += [one] if one is not None else []
    told = () if found else (codes.no_scale(at, 0, "", place(run, "budget.train_flops")),)
    return tuple(sorted(found, key=lambda one: one.rank)), told


def wanted_params(run: RunSpec, surface: Surface | None, flops_per_param: float) -> float | None:
    """About the N that the law asks for, with FLOPs per token and parameter as in the written proportions."""
    train_flops = float(run.budget.train_flops or 0)
    if surface is None:
        return sqrt(train_flops / (flops_per_param * tokens_per_param(run.budget)))
    found = compute_optimal(surface, train_flops, lambda n_params: flops_per_param * n_params)
    return None if found is None else found[0]


def _score(run: RunSpec, law: Law, size_of: SizeOf, depth_over_width: float) -> Scaled | None:
    sized = size_of(run)
    if sized is None:
        return None
    routed = routed_of(run, sized.tensors, sized.parameters)
    surface = surface_of(law, routed)
    if isinstance(surface, str):
        return None
    per_token = float(sized.flops.train_per_token)
    tokens = float(run.budget.train_flops or 0) / per_token
    loss = None if surface is None else surface.loss(routed.n_params, tokens)
    score = abs(log(tokens / (tokens_per_param(run.budget) * routed.n_params))) if loss is None else loss
    bent = abs(log(run.model.n_layers / run.model.d_model / depth_over_width))
    return Scaled(run, routed, per_token, tokens, loss, score, bent)


def without_law(run: RunSpec) -> RunSpec:
    """The run as resolved.moe has it: its size is written, and the FLOPs alone say how long to train."""
    budget = replace(
        run.budget, law=None, count=None, tokens_per_param=None, sparsity=None, max_sparsity=None, coefficients=None
    )
    return replace(run, budget=budget)


def scale_plan(found: tuple[Scaled, ...], chosen: Scaled) -> ScalePlan:
    """What was chosen, and the best of the others: those within the law's error are ties."""
    law = _law_of(chosen)
    others = [one for one in found if one is not chosen]
    ties = [one for one in others if _ties(one, chosen, law)]
    shown = (chosen, *others[: SHOWN - 1])
    sizes = [one.routed.n_params for one in (chosen, *ties)]
    return ScalePlan(
        law=law.name,
        tried=len(found),
        ties=len(ties),
        tied_params=(min(sizes), max(sizes)),
        rmse=law.rmse,
        best=tuple(_choice(one, chosen, law) for one in shown),
    )


def _ties(one: Scaled, chosen: Scaled, law: Law) -> bool:
    return one.loss is not None and chosen.loss is not None and is_tie(law, one.loss, chosen.loss)


def _choice(one: Scaled, chosen: Scaled, law: Law) -> ScaleChoice:
    model = one.run.model
    return ScaleChoice(
        d_model=model.d_model,
        n_layers=model.n_layers,
        n_heads=model.attention.n_heads,
        d_ff=model.ffn.d_ff if model.ffn else None,
        expert_d_ff=model.experts.d_ff if model.experts else None,
        n_params=one.routed.n_params,
        tokens=round(one.tokens),
        loss=one.loss,
        flops_over_six_n=one.flops_per_token / (6 * one.routed.n_params),
        reason=_reason(one, chosen, law),
    )


def _reason(one: Scaled, chosen: Scaled, law: Law) -> str:
    if one is chosen:
        return "least loss" if one.loss is not None else "nearest to the ratio"
    if one.loss is None or chosen.loss is None:
        return f"{one.tokens / one.routed.n_params:.4g} tokens per parameter"
    more = one.loss - chosen.loss
    if more < 0:
        return "cannot be trained here"
    return f"a tie: +{more:.2g}" if _ties(one, chosen, law) else f"+{more:.2g}"


def doubts(chosen: Scaled) -> tuple[Diagnostic, ...]:
    """Where the law was not fitted on such a size. Warnings: MOE6201."""
    answer = LawAnswer(_law_of(chosen), chosen.routed, None, chosen.tokens)
    return check_fitted(chosen.run, answer, round(chosen.tokens))


def _law_of(one: Scaled) -> Law:
    assert one.run.budget.law is not None, "sizes are scored by a law"
    return LAWS[one.run.budget.law]
