"""A report as sections of tables, facts and bars, without a notion of how it is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Column:
    """`is_code` says that the cells are names or formulas, which Markdown sets as code."""

    title: str
    align: Align = "left"
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A row of one cell is a heading over the rows that follow. `total` is a last row that stands apart, or ()."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One number: its value, the formula with the numbers put in, where the rule comes from, where the spec says so."""

    name: str
    value: str
    formula: str = ""
    source: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """`share` of the longest bar, 0 to 1 and beyond."""

    label: str
    value: str
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


Part = Table | Facts | Bars | Paragraph


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
