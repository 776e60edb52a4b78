"""How calls and imports are laid out, as `ruff format` would: on one line where it fits, else one argument per line."""

from __future__ import annotations

from moec.compiler.emit.holes import WIDTH, Code, code, identifier, lines, listed, literal
from moec.compiler.plain_text import columns


def call(before: Code, *arguments: Code, indent: int = 0, remark: Code | None = None) -> Code:
    """`before(arguments)`, with a comment behind it or, where that does not fit, above it."""
    one_line = code("{before}({arguments})", before=before, arguments=listed(*arguments))
    if remark is not None:
        with_remark = code("{one_line}  {remark}", one_line=one_line, remark=remark)
        if fits(with_remark, indent):
            return with_remark
    return lines(remark, one_line if fits(one_line, indent) else _split(before, arguments, indent))


def _split(before: Code, arguments: tuple[Code, ...], indent: int) -> Code:
    together = listed(*arguments)
    if fits(together, indent + 4):
        return code(
            """
{before}(
    {arguments}
)
""",
            before=before,
            arguments=together,
        )
    return exploded(before, *arguments)


def exploded(before: Code, *arguments: Code) -> Code:
    """`before(` with every argument on a line of its own."""
    return code(
        """
{before}(
    {arguments}
)
""",
        before=before,
        arguments=lines(*(code("{argument},", argument=argument) for argument in arguments)),
    )


def fits(line: Code, indent: int) -> bool:
    """Whether `line` is one line and stays within the width at `indent`."""
    return "\n" not in line.text and columns(line.text) + indent <= WIDTH


def keyword(name: str, value: Code) -> Code:
    """`name=value`."""
    return code("{name}={value}", name=identifier(name), value=value)


def given(name: str, value: int | float | str | bool | tuple[str, ...] | tuple[float, ...] | None) -> Code:
    """`name=` and the literal of `value`."""
    return keyword(name, literal(value))


def partition_spec(sharding: tuple[tuple[str, ...], ...]) -> Code:
    """`P("fsdp", "model", None)`: per dim the mesh axes that it is split over."""
    return code("P({dims})", dims=listed(*(_dim(axes) for axes in sharding)))


def _dim(axes: tuple[str, ...]) -> Code:
    if not axes:
        return literal(None)
    return literal(axes[0]) if len(axes) == 1 else literal(axes)
