"""MOE20xx: names of blocks, fields and values, and what must be written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from moec.spec.codes.info import CodeInfo
from moec.spec.codes.types import listed
from moec.spec.diagnostics import Diagnostic, Fix, Label
from moec.spec.limits import MAX_BLOCKS
from moec.spec.near import nearest
from moec.spec.source import Span

CODES: Final = (
    CodeInfo("MOE2001", "error", "a kind of block is unknown"),
    CodeInfo("MOE2002", "error", "a field is unknown"),
    CodeInfo("MOE2003", "error", "a block inside a block is unknown"),
    CodeInfo("MOE2004", "error", "a name in an expression is unknown"),
    CodeInfo("MOE2005", "error", "a field or block is written twice"),
    CodeInfo("MOE2006", "error", "a name is given twice"),
    CodeInfo("MOE2007", "error", "a block that is named does not exist"),
    CodeInfo("MOE2008", "error", "`extends` names no block of this kind"),
    CodeInfo("MOE2009", "error", "blocks extend one another in a circle"),
    CodeInfo("MOE2010", "error", "values depend on one another in a circle"),
    CodeInfo("MOE2011", "error", "the edition is missing"),
    CodeInfo("MOE2012", "error", "the edition is unknown"),
    CodeInfo("MOE2013", "error", "a field that must be written is missing"),
    CodeInfo("MOE2014", "error", "a block that must be written is missing"),
    CodeInfo("MOE2015", "warning", "a `let` is never used"),
    CodeInfo("MOE2016", "warning", "a `use` is never used"),
    CodeInfo("MOE2017", "warning", "a block is never used"),
    CodeInfo("MOE2018", "error", "none of several fields is written"),
    CodeInfo("MOE2019", "error", "fields exclude one another"),
    CodeInfo("MOE2020", "error", "a field has no effect beside another"),
    CodeInfo("MOE2021", "error", "a name may mean several blocks"),
    CodeInfo("MOE2022", "error", "a field is used that has no value"),
    CodeInfo("MOE2023", "error", "the plan is used outside an `assert`"),
    CodeInfo("MOE2024", "error", "a field stands where a block belongs, or a block where a field belongs"),
    CodeInfo("MOE2025", "error", "a field stands at the top of a file"),
    CodeInfo("MOE2026", "error", "a spec has too many blocks"),
    CodeInfo("MOE2027", "error", "an `assert` stands where nothing can be asserted"),
)

FOLLOW_FROM_BROKEN_TEXT: Final = frozenset(
    ("MOE2004", "MOE2007", "MOE2008", "MOE2011", "MOE2013", "MOE2014", "MOE2015", "MOE2016", "MOE2017", "MOE2018")
)
"""Codes that only repeat a mistake where the text could not be read: they are not told when there are syntax errors."""


def unknown_kind(span: Span, kind: str, kinds: tuple[str, ...]) -> Diagnostic:
    helps, fixes = _near(span, kind, kinds)
    message = f"there is no kind of block `{kind}`"
    return Diagnostic("MOE2001", "error", message, span, helps=(*helps, f"there are {listed(kinds)}"), fixes=fixes)


def unknown_field(span: Span, block: str, name: str, known: tuple[str, ...], elsewhere: tuple[str, ...]) -> Diagnostic:
    helps, fixes = _near(span, name, known)
    if elsewhere and not helps:
        helps = (f"`{name}` is a field of {listed(elsewhere)}",)
    listing = f"`{block}` has {listed(known)}"
    return Diagnostic(
        "MOE2002",
        "error",
        f"`{block}` has no field `{name}`",
        span,
        helps=(*helps, listing.replace(" or ", " and ")),
        fixes=fixes,
    )


def unknown_block(span: Span, outer: str, name: str, known: tuple[str, ...]) -> Diagnostic:
    helps, fixes = _near(span, name, known)
    listing = (
        f"`{outer}` has the blocks {listed(known)}".replace(" or ", " and ") if known else f"`{outer}` has no blocks"
    )
    return Diagnostic(
        "MOE2003", "error", f"`{outer}` has no block `{name}`", span, helps=(*helps, listing), fixes=fixes
    )


def unknown_name(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    helps, fixes = _near(span, name, tuple(known))
    return Diagnostic("MOE2004", "error", f"nothing here is called `{name}`", span, helps=helps, fixes=fixes)


def unknown_part(span: Span, owner: str, name: str, known: Iterable[str]) -> Diagnostic:
    known = tuple(known)
    helps, fixes = _near(span, name, known)
    listing = (f"`{owner}` has {listed(known)}".replace(" or ", " and "),) if known else ()
    return Diagnostic("MOE2004", "error", f"`{owner}` has no `{name}`", span, helps=(*helps, *listing), fixes=fixes)


def written_twice(span: Span, name: str, first: Span) -> Diagnostic:
    helps = ("keep one of the two",)
    return Diagnostic(
        "MOE2005", "error", f"`{name}` is written twice", span, others=(Label(first, "first here"),), helps=helps
    )


def named_twice(span: Span, what: str, name: str, first: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2006", "error", f"there is a {what} `{name}` already", span, others=(Label(first, "first here"),)
    )


def no_such_block(span: Span, kind: str, name: str, known: tuple[str, ...]) -> Diagnostic:
    helps, fixes = _near(span, name, known)
    listing = f"there is {listed(known)}" if known else f"this file has no {kind}"
    return Diagnostic("MOE2007", "error", f"there is no {kind} `{name}`", span, helps=(*helps, listing), fixes=fixes)


def wrong_kind_of_block(span: Span, kind: str, name: str, found: str, place: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2007",
        "error",
        f"`{name}` is a {found}, and a {kind} belongs here",
        span,
        others=(Label(place, f"a {found}"),),
    )


def extends_nothing(span: Span, kind: str, name: str, known: tuple[str, ...]) -> Diagnostic:
    helps, fixes = _near(span, name, known)
    listing = f"there is {listed(known)}" if known else f"there is no other {kind}"
    message = f"there is no {kind} `{name}` to extend"
    return Diagnostic("MOE2008", "error", message, span, helps=(*helps, listing), fixes=fixes)


def extends_circle(span: Span, names: tuple[str, ...]) -> Diagnostic:
    circle = " → ".join((*names, names[0]))
    return Diagnostic("MOE2009", "error", f"blocks extend one another in a circle: {circle}", span)


def value_circle(span: Span, names: tuple[str, ...]) -> Diagnostic:
    circle = " → ".join((*names, names[0]))
    return Diagnostic("MOE2010", "error", f"values depend on one another in a circle: {circle}", span)


def missing_edition(span: Span, edition: int) -> Diagnostic:
    fix = Fix("insert the edition", Span(span.file, span.start, span.start), f"edition = {edition}\n\n")
    return Diagnostic(
        "MOE2011",
        "error",
        "the edition is missing",
        span,
        helps=(f"begin the file with `edition = {edition}`",),
        notes=("it says by which rules a file is read, so that later ones do not change what it means",),
        fixes=(fix,),
    )


def unknown_edition(span: Span, edition: int) -> Diagnostic:
    fix = Fix(f"write {edition}", span, str(edition))
    return Diagnostic("MOE2012", "error", f"the only edition is {edition}", span, fixes=(fix,))


def missing_field(span: Span, block: str, name: str, example: str, why: str = "") -> Diagnostic:
    notes = (why,) if why else ()
    return Diagnostic(
        "MOE2013",
        "error",
        f"`{block}` needs `{name}`",
        span,
        helps=(f"for example `{name} = {example}`",),
        notes=notes,
    )


def missing_block(span: Span, block: str, name: str, example: str) -> Diagnostic:
    return Diagnostic(
        "MOE2014", "error", f"`{block}` needs a block `{name}`", span, helps=(f"for example `{name} {{ {example} }}`",)
    )


def unused_let(span: Span, name: str) -> Diagnostic:
    return Diagnostic("MOE2015", "warning", f"`{name}` is never used", span, helps=("remove the `let`",))


def unused_use(span: Span, alias: str) -> Diagnostic:
    return Diagnostic("MOE2016", "warning", f"`{alias}` is never used", span, helps=("remove the `use`",))


def unused_block(span: Span, kind: str, name: str) -> Diagnostic:
    helps = (f"no run uses it; remove it, or name it in a run: `{kind} = {name}`",)
    return Diagnostic("MOE2017", "warning", f"the {kind} `{name}` is never used", span, helps=helps)


def none_of(span: Span, block: str, names: tuple[str, ...], just_one: bool) -> Diagnostic:
    how = "exactly one of" if just_one else "at least one of"
    return Diagnostic("MOE2018", "error", f"`{block}` needs {how} {listed(names)}", span)


def exclude_one_another(span: Span, block: str, names: tuple[str, str], other: Span) -> Diagnostic:
    return Diagnostic(
        "MOE2019",
        "error",
        f"`{block}` takes `{names[0]}` or `{names[1]}`, not both",
        span,
        others=(Label(other, f"`{names[0]}` is set here"),),
        helps=("keep the one that is meant; the other follows",),
    )


def no_effect(span: Span, name: str, rule: str, other: Label | None) -> Diagnostic:
    others = (other,) if other else ()
    return Diagnostic(
        "MOE2020", "error", f"`{name}` has no effect here: {rule}", span, others=others, helps=("remove it",)
    )


def ambiguous(span: Span, name: str, places: tuple[tuple[str, Span], ...]) -> Diagnostic:
    labels = tuple(Label(place, f"a {kind}") for kind, place in places)
    return Diagnostic(
        "MOE2021",
        "error",
        f"`{name}` is the name of several blocks",
        span,
        others=labels,
        helps=("give them different names",),
    )


def no_value(span: Span, name: str, absent: str) -> Diagnostic:
    notes = (f"without it: {absent}",) if absent else ()
    return Diagnostic("MOE2022", "error", f"`{name}` is not written, and has no default to use here", span, notes=notes)


def plan_outside_assert(span: Span, name: str) -> Diagnostic:
    helps = (f"`{name}` is known once everything is planned: use it in an `assert`",)
    return Diagnostic("MOE2023", "error", f"`{name}` can be used in an `assert` alone", span, helps=helps)


def block_not_field(span: Span, name: str) -> Diagnostic:
    helps = (f"write `{name} {{ … }}`",)
    return Diagnostic("MOE2024", "error", f"`{name}` is a block, not a field", span, helps=helps)


def field_not_block(span: Span, name: str, example: str) -> Diagnostic:
    helps = (f"write `{name} = {example}`",)
    return Diagnostic("MOE2024", "error", f"`{name}` is a field, not a block", span, helps=helps)


def field_at_top(span: Span, name: str) -> Diagnostic:
    helps = (f"`let {name} = …` names a value; fields stand inside a block",)
    return Diagnostic("MOE2025", "error", f"the field `{name}` stands in no block", span, helps=helps)


def too_many_blocks(span: Span) -> Diagnostic:
    helps = ("split the spec into several, with a common file that they `use`",)
    message = f"a spec has at most {MAX_BLOCKS} blocks, those of used files included"
    return Diagnostic("MOE2026", "error", message, span, helps=helps)


def assert_out_of_place(span: Span, kind: str) -> Diagnostic:
    helps = ("move it into the `run`",)
    return Diagnostic("MOE2027", "error", f"a {kind} cannot assert anything", span, helps=helps)


def _near(span: Span, name: str, known: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Fix, ...]]:
    near = nearest(name, known)
    if near is None:
        return (), ()
    return (f"did you mean `{near}`?",), (Fix(f"write `{near}`", span, near),)
