"""RunSpec -> the value of each of its fields under its dotted path, as an `assert` names it:
`model.attention.n_heads`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Final

from moec.compiler.typed import MESH_AXES, RunSpec
from moec.spec.fields.table import field_info
from moec.spec.fields.types import ChoiceType, ListType, NumberType, words_of
from moec.spec.values import FLOPS, SECONDS, Grid, Many, Quantity, Text, Truth, Value, Word

HOUR_SECONDS: Final = 3600

BLOCKS: Final = ("model", "mesh", "data", "budget")
"""What a run names; everything else of it stands in the run itself."""

NOT_FIELDS: Final = ("doc", "span", "origins", "asserts", "hardware", "axes", "topology")
"""Attributes of the typed spec that are no fields, or are told in another way."""


def run_values(run: RunSpec) -> Iterator[tuple[str, Value]]:
    """Every field of the run that has a value."""
    yield from values_inside(run, "")
    yield "mesh.hardware", Word(run.mesh.hardware.name)
    for axis in MESH_AXES:
        yield f"mesh.axes.{axis}", value_of_field(f"mesh.axes.{axis}", run.mesh.axes[axis])
    if run.mesh.topology is not None:
        yield "mesh.topology", Grid(run.mesh.topology)


def values_inside(block: object, prefix: str) -> Iterator[tuple[str, Value]]:
    """The fields of a typed block and of the blocks inside it."""
    assert is_dataclass(block)
    for field in fields(block):
        value, path = getattr(block, field.name), f"{prefix}{field.name}"
        if field.name in NOT_FIELDS:
            continue
        if is_dataclass(value):
            yield from values_inside(value, f"{path}.")
        elif value is not None or empty_word(path):
            yield path, value_of_field(path, value)


def value_of_field(path: str, value: object) -> Value:
    """A value of the typed spec as an expression has it: with its dimension, as a word or as a text."""
    match value:
        case None:
            return Word(empty_word(path))
        case bool():
            return Truth(value)
        case int() | float() | Fraction():
            return number(path, value)
        case tuple():
            return Many(tuple(value_of_field(path, item) for item in value))
        case _:
            return Word(str(value)) if str(value) in words_behind(path) else Text(str(value))


def number(path: str, value: float | Fraction) -> Quantity:
    """A number in the base unit of its field."""
    exact = value if isinstance(value, int) else Fraction(value)
    if path == "budget.hours":
        return Quantity(exact * HOUR_SECONDS, SECONDS)
    return Quantity(exact, FLOPS) if path == "budget.train_flops" else Quantity(exact)


def field_path(path: str) -> str:
    """The path in the fields table of a path in a run: those of the run itself begin with `run`."""
    return path if path.partition(".")[0] in BLOCKS else f"run.{path}"


def words_behind(path: str) -> tuple[str, ...]:
    """The words that the field at `path` may hold."""
    info = field_info(field_path(path))
    return words_of(info.type) if info else ()


def empty_word(path: str) -> str:
    """The word that is None in the typed spec (`none`, `dropless`), "" where None is the absence of a value."""
    info = field_info(field_path(path))
    kind = info.type if info else None
    if isinstance(kind, ListType | ChoiceType) or not isinstance(kind, NumberType):
        return ""
    return next((word for word in kind.words if word != "auto"), "")
