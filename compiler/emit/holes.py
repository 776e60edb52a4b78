"""Typed holes: the only ways in which a value of a spec becomes Python source.

Source is a `Code`, never a str. A template is a constant in this package; what fills its holes is a literal, an
identifier that we own, or other `Code`. Text of a user enters as a string literal, a comment or a docstring, each of
which neutralises all that could end it. A raw str in a hole is a type error for mypy and a TypeError at run time.
"""

from __future__ import annotations

import keyword
import math
import re
from dataclasses import dataclass

from moec.compiler.plain_text import plain, wrapped

WIDTH = 120
_HOLE = re.compile(r"\{([a-z_]+)\}")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Code:
    """Python source, one or several lines without a line end at the end. Only this module makes one from a str."""

    text: str

    def __format__(self, spec: str) -> str:
        raise TypeError("Code goes into source through a hole of code(), not through an f-string")


Literal = int | float | str | bool | None


def code(template: str, /, **holes: Code) -> Code:
    """`template` with its `{holes}` filled; lines after the first of a hole are indented as the line that it stands in.

    The template is a constant text of this package (a test holds that); a line end at its start and its end is dropped.
    """
    wrong = [name for name, value in holes.items() if not isinstance(value, Code)]
    if wrong:
        raise TypeError(f"not Code: {', '.join(wrong)}")
    text = template.removeprefix("\n").rstrip(" ").removesuffix("\n")
    wanted = {match[1] for match in _HOLE.finditer(text)}
    if wanted != set(holes):
        raise TypeError(f"holes {sorted(wanted)} filled with {sorted(holes)}")
    return Code("\n".join(_fill(line, holes) for line in text.split("\n")))


def _fill(line: str, holes: dict[str, Code]) -> str:
    margin = line[: len(line) - len(line.lstrip(" "))]
    return _HOLE.sub(lambda match: _shifted(holes[match[1]].text, margin), line)


def _shifted(text: str, margin: str) -> str:
    return re.sub(r"\n(?=[^\n])", "\n" + margin, text)


def lines(*parts: Code | None) -> Code:
    """The parts one below the other; None is left out."""
    return Code("\n".join(part.text for part in parts if part is not None))


def listed(*parts: Code) -> Code:
    """`a, b, c`."""
    return Code(", ".join(part.text for part in parts))


def literal(value: Literal | tuple[Literal, ...]) -> Code:
    """The Python literal of `value`: ASCII strings in double quotes, grouped digits, floats as short as exact."""
    if isinstance(value, tuple):
        items = [literal(item).text for item in value]
        return Code(f"({', '.join(items)}{',' if len(items) == 1 else ''})")
    if isinstance(value, str):
        return Code(_string(value))
    if value is None or isinstance(value, bool):
        return Code(repr(value))
    if isinstance(value, int):
        return Code(f"{value:_}" if abs(value) >= 10_000 else f"{value}")
    return Code(_float(float(value)))


def _string(value: str) -> str:
    return f'"{"".join(_letter(letter) for letter in value)}"'


def _letter(letter: str) -> str:
    return "\\x22" if letter == '"' else "'" if letter == "'" else ascii(letter)[1:-1]


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"no literal for {value}")
    mantissa, _, exponent = repr(value).partition("e")
    if exponent:
        return f"{mantissa}e{int(exponent)}"
    whole, _, fraction = mantissa.partition(".")
    return f"{int(whole):_}.{fraction}" if abs(value) >= 10_000 else mantissa


def rounded(value: float) -> Code:
    """The literal of `value`.

    Rounding: to six significant digits, for numbers such as a standard deviation whose last bits mean nothing.
    """
    return literal(float(f"{value:.6g}"))


def identifier(name: str) -> Code:
    """`name` as a name of the program. It is one of the compiler's own (a weight of the plan): never a user's text."""
    if not _IDENTIFIER.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"not an identifier: {name!a}")
    return Code(name)


def qualified(name: str) -> Code:
    """A dotted name of ours, such as that of a module."""
    return Code(".".join(identifier(part).text for part in name.split(".")))


def comment(text: str, indent: int = 0) -> Code:
    """`# text`, in as many lines as it needs. It begins with words of ours: it cannot be a directive to a tool."""
    return Code("\n".join(f"# {row}" for row in wrapped(plain(text), WIDTH - indent - 2)))


def docstring(*paragraphs: str, indent: int = 4) -> Code:
    """A docstring of these paragraphs, wrapped to the width of the line; an empty one leaves a blank line.

    A paragraph that begins with spaces keeps its layout.
    """
    rows = [row for paragraph in paragraphs for row in _wrapped(paragraph, WIDTH - indent - 6)]
    if len(rows) == 1:
        return Code(f'"""{rows[0]}"""')
    return Code('"""' + "\n".join(rows) + '\n"""')


def _wrapped(paragraph: str, width: int) -> list[str]:
    margin = paragraph[: len(paragraph) - len(paragraph.lstrip(" "))]
    return [margin + row if row else "" for row in wrapped(plain(paragraph), width - len(margin))]
