"""A law of loss with the routing held fast: `L(N, D) = N**tilt * (sum of a / N**alpha + b / D**beta + floor)`.

All laws here that speak of both N and D have this form once the number of experts, the granularity or the sparsity is
put in. So one file solves them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum


@dataclass(frozen=True, slots=True)
class Term:
    """`a / N**alpha`."""

    a: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Surface:
    """`elasticity` says how the law's own FLOPs per token grow with N: as N**elasticity near that N; 1 is 6 N."""

    terms: tuple[Term, ...]
    b: float
    beta: float
    floor: float
    tilt: float = 0.0
    elasticity: float = 1.0

    def loss(self, n_params: float, n_tokens: float) -> float:
        """The loss of a model of N parameters after D tokens, in nats per token."""
        of_params = fsum(term.a / n_params**term.alpha for term in self.terms)
        inside = fsum((of_params, self.b / n_tokens**self.beta, self.floor))
        return float(n_params**self.tilt * inside)

    def optimal_tokens(self, n_params: float) -> float | None:
        """The D at which N parameters are the best use of the FLOPs that both take; None where no D is.

        Source: dL/dln N = elasticity * dL/dln D, the minimum of L at fixed FLOPs per token times D.
        """
        pull = self.pull(n_params)
        push = self.b * (self.elasticity * self.beta + self.tilt)
        return float((push / pull) ** (1 / self.beta)) if pull > 0 and push > 0 else None

    def loss_formula(self) -> tuple[str, Mapping[str, float]]:
        """`loss` as an expression in `n_params` and `tokens`, with the other numbers in it."""
        inputs = {"floor": self.floor, "b": self.b, "beta": self.beta}
        parts = ["floor"]
        for number, term in enumerate(self.terms, start=1):
            mark = f"_{number}" if len(self.terms) > 1 else ""
            inputs |= {f"a{mark}": term.a, f"alpha{mark}": term.alpha}
            parts.append(f"a{mark} / n_params**alpha{mark}")
        inside = " + ".join((*parts, "b / tokens**beta"))
        if not self.tilt:
            return inside, inputs
        return f"n_params**tilt * ({inside})", {**inputs, "tilt": self.tilt}

    def pull(self, n_params: float) -> float:
        """How much more parameters would gain: `-dL/dln N`, but for what D takes part in, over N**tilt."""
        gains = (term.a * (term.alpha - self.tilt) / n_params**term.alpha for term in self.terms)
        return fsum((*gains, -self.tilt * self.floor))

    def formula(self) -> tuple[str, Mapping[str, float]]:
        """`optimal_tokens` as an expression in `n_params`, with the other numbers in it."""
        inputs = {"b": self.b, "beta": self.beta}
        gains = []
        for number, term in enumerate(self.terms, start=1):
            mark = f"_{number}" if len(self.terms) > 1 else ""
            inputs |= {f"a{mark}": term.a, f"alpha{mark}": term.alpha}
            tilted = f"(alpha{mark} - tilt)" if self.tilt else f"alpha{mark}"
            gains.append(f"{tilted} * a{mark} / n_params**alpha{mark}")
        push, pull = "beta", " + ".join(gains)
        if self.elasticity != 1:
            push, inputs = "elasticity * beta", {**inputs, "elasticity": self.elasticity}
        if self.tilt:
            push, pull = f"({push} + tilt)", f"{pull} - tilt * floor"
            inputs = {**inputs, "tilt": self.tilt, "floor": self.floor}
        return f"({push} * b / ({pull}))**(1 / beta)", inputs
