"""Loss of models with pruned weights, by weights that are left, tokens and sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Final

from moec.compiler.laws.law import Fitted, Law, Routed
from moec.compiler.laws.surface import Surface, Term


@dataclass(frozen=True, slots=True)
class SparsityFit:
    """`L = (a_s (1 - S)**b_s + c_s) / N**b_n + (a_d / D)**b_d + floor`."""

    a_s: float
    b_s: float
    c_s: float
    b_n: float
    a_d: float
    b_d: float
    floor: float


FITS: Final[Mapping[str, SparsityFit]] = {
    "t5_c4": SparsityFit(16.8, 0.722, 45.0, 0.245, 6.9e8, 0.203, 0.651),
    "vit_jft": SparsityFit(294.0, 0.821, 468.0, 0.392, 2.37e8, 0.890, 4.517),
}
"""Source: Frantar et al., arXiv 2309.08520; two secondary readings."""


def surface_for(fit: SparsityFit, sparsity: float) -> Surface:
    """The law at one share of pruned weights."""
    factor = fit.a_s * (1 - sparsity) ** fit.b_s + fit.c_s
    return Surface((Term(factor, fit.b_n),), fit.a_d**fit.b_d, fit.b_d, fit.floor)


def surface(routed: Routed) -> Surface | str:
    """The fit of T5 on C4, which is text."""
    if not routed.is_dense:
        return "it was fitted on dense models whose weights were pruned, and this one has experts"
    return surface_for(FITS["t5_c4"], routed.sparsity)


LAW: Final = Law(
    name="frantar",
    title="Sparsely connected models",
    form="L = (a_s * (1 - S)**b_s + c_s) / N**b_n + (a_d / D)**b_d + floor",
    coefficients=asdict(FITS["t5_c4"]),
    counts=("nonzero",),
    n_means="weights that are not zero: (1 - sparsity) of all parameters",
    log_base="none",
    flop_rule="6 N D with N not zero; kernels here compute the zeros too",
    fitted=Fitted(n_params=(0.0, inf), routing="dense, weights pruned without structure, T5 on C4"),
    provenance="secondary",
    reading="two readings; the range of sizes was not found",
    source="Frantar et al., arXiv 2309.08520",
    surface=surface,
    notes=("For ViT on JFT: a_s 294, b_s 0.821, c_s 468, b_n 0.392, a_d 2.37e8, b_d 0.89, floor 4.517.",),
)
