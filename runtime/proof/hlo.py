"""The text of a compiled program, read into computations and instructions.

Reads what a proof asks about: shapes, opcodes, operands, attributes. It is no general reader of HLO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

BYTES_OF_TYPE = {
    "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8,
    "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16, "token": 0,
}  # fmt: skip
"""Bytes of an element; the float8 types are 1 each."""

_ARRAY = re.compile(r"\b([a-z]+[0-9]*[a-z0-9]*)\[([0-9,<=]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?(\S+) = ")
_OPCODE = re.compile(r"\s*([a-z][a-z0-9\-]*)\(")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([^\s,})]+)"
    r"|\b(?:branch_computations|called_computations|calls)=\{([^}]*)\}"
)
_OP_NAME = re.compile(r'\bop_name="((?:[^"\\]|\\.)*)"')
_OPERAND = re.compile(r"%([^\s,()]+)")


@dataclass(frozen=True, slots=True)
class Array:
    """The type and shape of one array on one device."""

    type: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Without what a layout's tiles pad."""
        size = 1 if self.type.startswith("f8") else BYTES_OF_TYPE.get(self.type, 0)
        return int(self.elements * size)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a computation. `results` are the arrays of its type, a tuple's in order, without their layouts;
    `literal` is a constant's value or a parameter's number as written."""

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str
    attributes: str
    is_root: bool

    @property
    def op_name(self) -> str:
        """Where the program asked for it: the path of functions, or the name of an argument; "" where unknown."""
        found = _OP_NAME.search(self.attributes)
        return found.group(1).replace("\\", "") if found else ""

    @property
    def called(self) -> tuple[str, ...]:
        """The computations that it runs."""
        names: list[str] = []
        for one, several in _CALLED.findall(self.attributes):
            names += [one] if one else [name.strip().lstrip("%") for name in several.split(",")]
        return tuple(name for name in names if name)


@dataclass(frozen=True, slots=True)
class Computation:
    name: str
    instructions: tuple[Instruction, ...]

    def named(self) -> Mapping[str, Instruction]:
        """The instructions by name."""
        return {instruction.name: instruction for instruction in self.instructions}


@dataclass(frozen=True, slots=True)
class Module:
    """A compiled program: its computations by name, and which one it starts with."""

    entry: str
    computations: Mapping[str, Computation]


def read_module(text: str) -> Module:
    """The module whose text the compiler gave. Errors: ValueError where the text has no entry computation."""
    computations: dict[str, Computation] = {}
    entry, name, lines = "", "", list[str]()
    for line in text.splitlines():
        opening = None if name or line.startswith(" ") else _COMPUTATION.match(line)
        if opening:
            name, lines = opening.group(2), []
            entry = name if opening.group(1) else entry
        elif line == "}" and name:
            computations[name] = Computation(name, tuple(row for whole in lines for row in _instructions(whole)))
            name = ""
        elif name and line.startswith("  "):
            lines.append(line)
        elif name and lines:  # what a kernel says about itself may have line breaks, and is not indented
            lines[-1] += line
    if not entry:
        raise ValueError("the compiler's text has no entry computation")
    return Module(entry, computations)


def arrays_of(text: str) -> tuple[Array, ...]:
    """The arrays that a type's text names, in order."""
    return tuple(
        Array(kind, tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size))
        for kind, sizes in _ARRAY.findall(text)
        if kind in BYTES_OF_TYPE or kind.startswith("f8")
    )


def _instructions(line: str) -> Iterator[Instruction]:
    opening = _INSTRUCTION.match(line)
    if not opening:
        return
    rest = line[opening.end() :]
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.find(" ")
    opcode = _OPCODE.match(rest, end)
    if not opcode:
        return
    close = _closing(rest, opcode.end() - 1)
    operands = tuple(_OPERAND.findall(rest[opcode.end() : close]))
    yield Instruction(
        name=opening.group(2),
        opcode=opcode.group(1),
        results=arrays_of(rest[:end]),
        operands=operands,
        literal=rest[opcode.end() : close] if not operands else "",
        attributes=rest[close + 1 :],
        is_root=bool(opening.group(1)),
    )


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at `start` closes; the end of the text where it does not."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "(":
            depth += 1
        elif text[place] == ")":
            depth -= 1
            if depth == 0:
                return place
    return len(text)
