"""The parametric fit of the Chinchilla paper."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.chinchilla import FITTED
from moec.compiler.laws.law import Law, Routed
from moec.compiler.laws.surface import Surface, Term

FIT: Final = Surface((Term(406.4, 0.34),), 410.7, 0.28, 1.69)
"""Source: Hoffmann et al., arXiv 2203.15556, approach 3, rounded as the text prints them."""


def surface(_: Routed) -> Surface:
    """The same for every model: N alone counts."""
    return FIT


LAW: Final = Law(
    name="hoffmann",
    title="Chinchilla, approach 3",
    form="L = floor + a / N**alpha + b / D**beta",
    coefficients={"a": 406.4, "alpha": 0.34, "b": 410.7, "beta": 0.28, "floor": 1.69},
    counts=("active", "total", "dense_equivalent"),
    n_means="all parameters of a dense model; for a mixture `count` says which",
    log_base="none",
    flop_rule="6 N D",
    fitted=FITTED,
    provenance="secondary",
    reading="rounded coefficients, read in notes on the paper",
    source="Hoffmann et al., arXiv 2203.15556, approach 3",
    surface=surface,
    notes=(
        "Known to disagree with approaches 1 and 2 of its own paper: 109 tokens per parameter at 70B parameters, where "
        "Chinchilla had 20.",
    ),
)
