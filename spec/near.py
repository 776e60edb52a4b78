"""The name that was probably meant: small edit distance, with letters swapped counted as one slip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LONGEST: Final = 64


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate closest to `name`, or None where none is close: at most one slip per three letters.

    Ties go to the first in alphabetical order, so the answer does not depend on the order of `candidates`.
    """
    allowed = max(1, len(name) // 3)
    best: tuple[int, int, str] | None = None
    for candidate in candidates:
        if candidate == name or abs(len(candidate) - len(name)) > allowed:
            continue
        slips = distance(name.lower(), candidate.lower(), allowed)
        if slips <= allowed and slips < max(len(name), len(candidate)):
            ranked = (slips, 0 if candidate[:1] == name[:1] else 1, candidate)
            best = ranked if best is None else min(best, ranked)
    return best[2] if best else None


def distance(left: str, right: str, cap: int) -> int:
    """How many slips turn `left` into `right`: a letter more, less, other, or swapped; `cap + 1` if more than `cap`.

    Source: Damerau (1964), doi:10.1145/363958.363994; the restricted form (optimal string alignment).
    """
    if max(len(left), len(right)) > _LONGEST:
        return cap + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, mine in enumerate(left, start=1):
        current = [i]
        for j, theirs in enumerate(right, start=1):
            cost = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (mine != theirs))
            if i > 1 and j > 1 and mine == right[j - 2] and left[i - 2] == theirs:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > cap:
            return cap + 1
        before, row = row, current
    return row[-1] if row[-1] <= cap else cap + 1
