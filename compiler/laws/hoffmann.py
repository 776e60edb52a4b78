"""The parametric fit of the Chinchilla paper."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.dense_fit import dense_fit, dense_law
from moec.compiler.laws.law import Law
from moec.compiler.laws.surface import Surface

FIT: Final[Surface] = dense_fit(a=406.4, alpha=0.34, b=410.7, beta=0.28, floor=1.69)
"""Source: Hoffmann et al., arXiv 2203.15556, approach 3, rounded as the text prints them."""

LAW: Final[Law] = dense_law(
    "hoffmann",
    "Chinchilla, approach 3",
    FIT,
    provenance="secondary",
    reading="rounded coefficients, read in notes on the paper",
    source="Hoffmann et al., arXiv 2203.15556, approach 3",
    note="Known to disagree with approaches 1 and 2 of its own paper: 109 tokens per parameter at 70B parameters, "
    "where Chinchilla had 20.",
)
