"""The refit of the Chinchilla paper's approach 3."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.dense_fit import dense_fit, dense_law
from moec.compiler.laws.law import Law
from moec.compiler.laws.surface import Surface

FIT: Final[Surface] = dense_fit(a=482.01, alpha=0.3478, b=2085.43, beta=0.3658, floor=1.8172)
"""Source: Besiroglu et al., arXiv 2404.10102; the exponents in a secondary reading, a, b and the floor in none that
could be checked (standard errors: a 124.58, b 1293.23)."""

LAW: Final[Law] = dense_law(
    "besiroglu",
    "The refit of Chinchilla, approach 3",
    FIT,
    provenance="memory",
    reading="alpha and beta in notes on the paper; a, b and the floor could not be looked up again",
    source="Besiroglu et al., arXiv 2404.10102, fitted to the runs of arXiv 2203.15556",
    note="Agrees with about 20 tokens per parameter at the size of Chinchilla.",
)
