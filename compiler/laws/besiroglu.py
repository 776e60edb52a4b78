"""The refit of the Chinchilla paper's approach 3."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.chinchilla import FITTED
from moec.compiler.laws.law import Law, Routed
from moec.compiler.laws.surface import Surface, Term

FIT: Final = Surface((Term(482.01, 0.3478),), 2085.43, 0.3658, 1.8172)
"""Source: Besiroglu et al., arXiv 2404.10102; the exponents in a secondary reading, a, b and the floor in none that
could be checked (standard errors: a 124.58, b 1293.23)."""


def surface(_: Routed) -> Surface:
    """The same for every model: N alone counts."""
    return FIT


LAW: Final = Law(
    name="besiroglu",
    title="The refit of Chinchilla, approach 3",
    form="L = floor + a / N**alpha + b / D**beta",
    coefficients={"a": 482.01, "alpha": 0.3478, "b": 2085.43, "beta": 0.3658, "floor": 1.8172},
    counts=("active", "total", "dense_equivalent"),
    n_means="all parameters of a dense model; for a mixture `count` says which",
    log_base="none",
    flop_rule="6 N D",
    fitted=FITTED,
    provenance="memory",
    reading="alpha and beta in notes on the paper; a, b and the floor could not be looked up again",
    source="Besiroglu et al., arXiv 2404.10102, fitted to the runs of arXiv 2203.15556",
    surface=surface,
    notes=("Agrees with about 20 tokens per parameter at the size of Chinchilla.",),
)
