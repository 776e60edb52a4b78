"""Tokens in proportion to parameters."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.law import Fitted, Law
from moec.compiler.typed import Counted

TOKENS_PER_PARAM: Final = 20.0
"""Source: Hoffmann et al., arXiv 2203.15556, abstract and table 3 (Chinchilla: 70B parameters, 1.4T tokens)."""

FITTED: Final = Fitted(n_params=(44e6, 16e9), routing="dense")
"""Source: Hoffmann et al., arXiv 2203.15556, section 3 and figure A5."""

COUNTS: Final[tuple[Counted, ...]] = ("active", "total", "dense_equivalent")
N_MEANS: Final = "all parameters of a dense model; for a mixture `count` says which"

LAW: Final = Law(
    name="chinchilla",
    title="Chinchilla, the ratio",
    form="D = tokens_per_param * N",
    coefficients={"tokens_per_param": TOKENS_PER_PARAM},
    counts=COUNTS,
    n_means=N_MEANS,
    log_base="none",
    flop_rule="6 N D",
    fitted=FITTED,
    provenance="secondary",
    reading="the ratio is that of the trained model Chinchilla; `tokens_per_param` replaces it",
    source="Hoffmann et al., arXiv 2203.15556, approaches 1 and 2: tokens grow in proportion to dense parameters",
    surface=None,
    notes=("Predicts no loss.",),
)
