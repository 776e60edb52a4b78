"""Two plans -> how much longer a step of the second takes, why, and what would shorten it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from moec.compiler.increase.causes import Cause, compare_causes, tokens_ratio
from moec.compiler.increase.proposals import Proposal, propose
from moec.compiler.increase.reasons import reason
from moec.compiler.plan import Plan

HEALTHY_RATIO: Final = 1.2
"""Step time of a mixture over its dense twin's. Source: said of arXiv 2405.15052 by third parties, not checked against
its body."""


@dataclass(frozen=True, slots=True)
class Increase:
    """Seconds of a step of `other` and of `first`, both for the tokens of the first; `causes` sum to both, the
    costliest first. `why` explains the first cause. `is_dense_to_moe` says whether HEALTHY_RATIO speaks of this pair.
    `tried` changes were legal and fit; `proposals` are those that help most."""

    first: Plan
    other: Plan
    first_seconds: float
    other_seconds: float
    causes: tuple[Cause, ...]
    why: str
    is_dense_to_moe: bool
    tried: int
    proposals: tuple[Proposal, ...]

    @property
    def ratio(self) -> float:
        return self.other_seconds / self.first_seconds


def increase(first: Plan, other: Plan) -> Increase:
    """The answer for two plans. Changes are looked for where the other has experts and is slower."""
    causes = compare_causes(first, other)
    seconds = float(tokens_ratio(first, other)) * other.step_time.seconds
    has_experts = other.run.model.experts is not None
    is_slower = seconds > first.step_time.seconds
    tried, proposals = propose(first, other) if has_experts and is_slower else (0, ())
    return Increase(
        first=first,
        other=other,
        first_seconds=first.step_time.seconds,
        other_seconds=seconds,
        causes=causes,
        why=reason(causes[0].name, first, other),
        is_dense_to_moe=has_experts and first.run.model.experts is None,
        tried=tried,
        proposals=proposals,
    )
