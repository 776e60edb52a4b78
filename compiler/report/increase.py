"""Increase -> the section that answers it, and the object of `moec plan --format json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import fsum
from typing import Final

from moec.compiler.increase.answer import HEALTHY_RATIO, Increase
from moec.compiler.increase.causes import Cause
from moec.compiler.increase.proposals import Effect, Proposal
from moec.compiler.increase.reasons import label, reason, tile_padding
from moec.compiler.plan import Plan
from moec.compiler.report.as_json import Json
from moec.compiler.report.document import Column, Paragraph, Part, Section, Table
from moec.compiler.units import duration, join_words, plural, ratio, share

IN_WORDS: Final[Mapping[Effect, str]] = {
    "same": "same mathematics",
    "balance": "same mathematics but for the balance loss",
    "drops": "changes which tokens are dropped",
    "model": "changes the model",
}

LEAST_SHARE: Final = 0.001
"""Causes that change the step by less than this share of it stand in one row. Assumption: nobody acts on less."""


def increase_section(answer: Increase) -> Section:
    """The ratio, the causes that make it up, the main one in words, and what would shorten the step."""
    stated = Paragraph(" ".join(_statements(answer)))
    return Section(
        "Step time against the first run", (stated, _cause_table(answer), *_main_reason(answer), *_proposals(answer))
    )


def increase_object(answer: Increase) -> dict[str, Json]:
    """The same for programs; every cause is in it, and their seconds sum to those of the two steps."""
    return {
        "over": answer.first.run.name,
        "tokens": answer.first.batch.tokens,
        "ratio": answer.ratio,
        "healthy_ratio": HEALTHY_RATIO if answer.is_dense_to_moe else None,
        "first_seconds": answer.first_seconds,
        "seconds": answer.other_seconds,
        "causes": [_cause_object(cause, answer) for cause in answer.causes],
        "tile_padding": list(tile_padding(answer.other)),
        "tried": answer.tried,
        "proposals": [_proposal_object(proposal) for proposal in answer.proposals],
    }


def _cause_object(cause: Cause, answer: Increase) -> Json:
    return {
        "cause": cause.name,
        "first_seconds": cause.first_seconds,
        "seconds": cause.other_seconds,
        "more_seconds": cause.more_seconds,
        "why": reason(cause.name, answer.first, answer.other) if cause.more_seconds > 0 else "",
    }


def _proposal_object(proposal: Proposal) -> Json:
    return {
        "write": proposal.line,
        "effect": IN_WORDS[proposal.effect],
        "seconds": proposal.seconds,
        "ratio": proposal.ratio,
        "ratio_of_both": proposal.ratio_of_both,
    }


def _statements(answer: Increase) -> Iterator[str]:
    """The ratio, what makes it unlike a plain comparison, and where it lies."""
    first, other = answer.first, answer.other
    yield (
        f"`{other.run.name}` takes {duration(answer.other_seconds)} where `{first.run.name}` takes "
        f"{duration(answer.first_seconds)} for {first.batch.tokens:,} tokens: {ratio(answer.ratio)}, by the estimates."
    )
    if other.batch.tokens != first.batch.tokens:
        yield f"A step of `{other.run.name}` has {other.batch.tokens:,} tokens; its seconds are scaled."
    if _machine(other) != _machine(first):
        yield f"The machines differ: {_machine(other)} against {_machine(first)}."
    if answer.is_dense_to_moe:
        lies = "within" if answer.ratio <= HEALTHY_RATIO else "above"
        yield f"That is {lies} the {ratio(HEALTHY_RATIO)} that is called healthy (said of arXiv 2405.15052)."


def _machine(plan: Plan) -> str:
    return f"{plural(plan.mesh.devices, 'device')} ({plan.run.mesh.hardware.name})"


def _cause_table(answer: Increase) -> Table:
    """What differs, the costliest first, and what is left in one row; the total is that of the two steps."""
    least, pair = LEAST_SHARE * answer.other_seconds, (answer.first, answer.other)
    shown = [cause for cause in answer.causes if abs(cause.more_seconds) >= least]
    left = [cause for cause in answer.causes if abs(cause.more_seconds) < least]
    if left:
        mine, theirs = (fsum(cause.first_seconds for cause in left), fsum(cause.other_seconds for cause in left))
        shown.append(Cause("all else", mine, theirs))
    whole = Cause("step", answer.first_seconds, answer.other_seconds)
    columns = (
        Column("cause"),
        Column(answer.first.run.name, "right"),
        Column(answer.other.run.name, "right"),
        Column("more", "right"),
        Column("of the increase", "right"),
    )
    rows = tuple(_row(label(cause.name, *pair), cause, whole) for cause in shown)
    return Table(columns, rows, _row(whole.name, whole, whole))


def _row(name: str, cause: Cause, whole: Cause) -> tuple[str, ...]:
    more = cause.more_seconds
    sign = "-" if more < 0 else "+"
    of_all = share(more, whole.more_seconds) if whole.more_seconds > 0 else "-"
    times = (duration(cause.first_seconds), duration(cause.other_seconds))
    return (name, *times, f"{sign}{duration(abs(more))}" if more else "0 s", of_all)


def _main_reason(answer: Increase) -> Iterator[Paragraph]:
    """The costliest cause, where the other run is slower at all."""
    worst = answer.causes[0]
    if answer.ratio <= 1:
        return
    because = f": {answer.why}" if answer.why else ""
    yield Paragraph(f"Main reason: {worst.name}, {duration(worst.more_seconds)} more{because}.")
    padding = tuple(tile_padding(answer.other))
    if padding:
        yield Paragraph(f"Not in the estimate: {join_words(padding)}.")


def _proposals(answer: Increase) -> Iterator[Part]:
    """What to write, and the step that it would give."""
    if not answer.tried:
        return
    tried = plural(answer.tried, "change")
    if not answer.proposals:
        yield Paragraph(f"{tried} to `{answer.other.run.name}` tried: none shortens its step.")
        return
    yield Paragraph(
        f"{tried} to `{answer.other.run.name}` tried, each alone: the best of each kind first. The ratio is over "
        f"`{answer.first.run.name}` as it is, and where that takes the same mesh, micro-batch and remat."
    )
    columns = (
        Column("write"),
        Column("step", "right"),
        Column("ratio", "right"),
        Column("both changed", "right"),
    )
    rows = (row for proposal in answer.proposals for row in _proposal_rows(proposal))
    yield Table(columns, tuple(rows))


def _proposal_rows(proposal: Proposal) -> Iterator[tuple[str, ...]]:
    """The line as a heading, what it does and gives below it."""
    both = "-" if proposal.ratio_of_both is None else ratio(proposal.ratio_of_both)
    yield (proposal.line,)
    yield IN_WORDS[proposal.effect], duration(proposal.seconds), ratio(proposal.ratio), both
