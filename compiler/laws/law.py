"""What an entry of the registry carries. A law that cannot fill it in is not listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from moec.compiler.laws.surface import Surface
from moec.compiler.typed import Counted, YunCoefficients

Provenance = Literal["primary", "secondary", "memory"]
"""Where the coefficients were read: in the paper itself or official code; in notes on it or another's implementation;
or nowhere that could be looked up."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """On what the law was fitted; a range that nobody has stated is without end. `left_out` is the share of experts
    that a token does not choose. `top_k` and `every` None: any, or there were no experts."""

    n_params: tuple[float, float]
    routing: str
    n_tokens: tuple[float, float] = (0.0, inf)
    n_experts: tuple[int, float] = (1, inf)
    granularity: tuple[float, float] = (0.0, inf)
    left_out: tuple[float, float] = (0.0, 1.0)
    top_k: int | None = None
    every: int | None = None


@dataclass(frozen=True, slots=True)
class Routed:
    """What a law asks about a model besides N. A dense model has one expert, and chooses it.

    `granularity` is 4 * d_model over the width of an expert; `sparsity` the share of weights that are pruned away;
    `n_params` is N by the law's own meaning.
    """

    n_params: int
    n_experts: int
    top_k: int
    every: int
    granularity: float
    sparsity: float
    max_sparsity: float | None
    coefficients: YunCoefficients | None

    @property
    def is_dense(self) -> bool:
        return self.n_experts == 1

    @property
    def left_out(self) -> float:
        """The share of experts that a token does not choose."""
        return (self.n_experts - self.top_k) / self.n_experts


SurfaceOf = Callable[[Routed], Surface | str]
"""The law with the routing put in, or why it says nothing about such a model."""


@dataclass(frozen=True, slots=True)
class Law:
    """One law. `coefficients` stand with the signs of `form`. `counts` are the meanings of N that it may be asked with.

    `ratio` laws have no surface: they give a fixed number of tokens per parameter. `rmse` is the error of the fit in
    nats, 0 where none is stated: losses that differ by less are ties.
    """

    name: str
    title: str
    form: str
    coefficients: Mapping[str, float]
    counts: tuple[Counted, ...]
    n_means: str
    log_base: str
    flop_rule: str
    fitted: Fitted
    provenance: Provenance
    reading: str
    source: str
    surface: SurfaceOf | None
    rmse: float = 0.0
    notes: tuple[str, ...] = ()


def surface_of(law: Law, routed: Routed) -> Surface | str | None:
    """The law with the routing put in, or why it says nothing about such a model; None for a ratio."""
    return law.surface(routed) if law.surface is not None else None


def loss_of(law: Law, routed: Routed, n_tokens: float) -> float | None:
    """The loss that the law predicts, None where it predicts none for such a model."""
    surface = surface_of(law, routed)
    return surface.loss(routed.n_params, n_tokens) if isinstance(surface, Surface) else None


def is_tie(law: Law, one: float, other: float) -> bool:
    """Whether two losses differ by no more than the law errs."""
    return abs(one - other) <= law.rmse
