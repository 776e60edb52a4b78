"""Laws of loss that look at N and D alone: one fit, whatever the model."""

from __future__ import annotations

from typing import Final

from moec.compiler.laws.chinchilla import COUNTS, FITTED, N_MEANS
from moec.compiler.laws.law import Law, Provenance, Routed
from moec.compiler.laws.surface import Surface, Term

FORM: Final = "L = floor + a / N**alpha + b / D**beta"


def dense_fit(a: float, alpha: float, b: float, beta: float, floor: float) -> Surface:
    """`FORM` with its coefficients."""
    return Surface((Term(a, alpha),), b, beta, floor)


def dense_law(
    name: str, title: str, fit: Surface, *, provenance: Provenance, reading: str, source: str, note: str
) -> Law:
    """A law with one fit of `FORM`, on the models of the Chinchilla paper."""
    (term,) = fit.terms

    def surface(_: Routed) -> Surface:
        return fit

    return Law(
        name=name,
        title=title,
        form=FORM,
        coefficients={"a": term.a, "alpha": term.alpha, "b": fit.b, "beta": fit.beta, "floor": fit.floor},
        counts=COUNTS,
        n_means=N_MEANS,
        log_base="none",
        flop_rule="6 N D",
        fitted=FITTED,
        provenance=provenance,
        reading=reading,
        source=source,
        surface=surface,
        notes=(note,),
    )
