"""What the parser is driven by: for each state and token the step to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Reduction(NamedTuple):
    """A rule was read in full: `size` symbols become one `origin`, made by the builder's method `build`."""

    size: int
    origin: str
    build: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """What to do in a state with a token: go to another state (an int) or reduce first."""

    actions: dict[int, dict[str, int | Reduction]]
    start: int
    end: int
