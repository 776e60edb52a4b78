"""`moec diff`: what changed between two specs, and what the change means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure
from moec.cli.specs import choose_runs, read_files, resolve_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.difference import Change
    from moec.compiler.typed import RunSpec, TypedSpec


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("left", metavar="A", help="a spec, or a folder with a resolved.moe that `moec compile` wrote")
    parser.add_argument("right", metavar="B", help="likewise; may be A again with --against")
    parser.add_argument("--run", metavar="NAME", help="compare this run of A (default: every run that both have)")
    parser.add_argument("--against", metavar="NAME", help="with this run of B (default: the one of the same name)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _run(arguments: Namespace) -> int:
    left, right = _typed(arguments.left), _typed(arguments.right)
    pairs = _pairs(left, right, arguments.run, arguments.against)
    if arguments.format == "json":
        print(_json(pairs))
    else:
        every_run = arguments.run is None and (len(left.runs), len(right.runs)) != (1, 1)
        print(_text(pairs, _alone(left, right) if every_run else []))
    return OK


def _typed(path: str) -> TypedSpec:
    resolved = Path(path) / "resolved.moe"
    return resolve_files(read_files(str(resolved) if resolved.exists() else path))


def _pairs(
    left: TypedSpec, right: TypedSpec, run: str | None, against: str | None
) -> tuple[tuple[RunSpec, RunSpec], ...]:
    if against is not None and run is None:
        raise Failure("--against NAME goes with --run NAME: which run of A is compared with it?")
    if run is not None:
        return tuple(zip(choose_runs(left, run), choose_runs(right, against or run), strict=True))
    if len(left.runs) == len(right.runs) == 1:
        return ((left.runs[0], right.runs[0]),)
    theirs = {spec.name: spec for spec in right.runs}
    pairs = tuple((spec, theirs[spec.name]) for spec in left.runs if spec.name in theirs)
    if not pairs:
        raise Failure("the two have no run of the same name; say which with --run NAME --against NAME")
    return pairs


def _text(pairs: tuple[tuple[RunSpec, RunSpec], ...], alone: list[str]) -> str:
    lines = [line for pair in pairs for line in (*pair_lines(*pair), "")]
    return "\n".join((*lines, *alone)).rstrip("\n")


def pair_lines(mine: RunSpec, theirs: RunSpec) -> list[str]:
    """The difference of two runs, gravest first, under the name of the run."""
    from moec.compiler.difference import CATEGORIES, differences

    changes = differences(mine, theirs)
    title = f"run {mine.name}" if mine.name == theirs.name else f"run {mine.name} against {theirs.name}"
    if not changes:
        return [title, "  no difference"]
    width = max(len(change.path) for change in changes)
    lines = [title]
    for category, meaning in CATEGORIES.items():
        group = [change for change in changes if change.category == category]
        if group:
            lines.append(f"  {category}: {meaning}")
            lines += (f"    {change.path:<{width}}  {change.left} -> {change.right}" for change in group)
    return lines


def _alone(left: TypedSpec, right: TypedSpec) -> list[str]:
    """The runs that only one of the two has."""
    mine, theirs = ({run.name: None for run in typed.runs} for typed in (left, right))
    only_left = [f"only in {left.file}: run {name}" for name in mine if name not in theirs]
    return only_left + [f"only in {right.file}: run {name}" for name in theirs if name not in mine]


def _json(pairs: tuple[tuple[RunSpec, RunSpec], ...]) -> str:
    import json

    from moec.compiler.difference import differences

    found = [
        {"left": mine.name, "right": theirs.name, "changes": [_object(change) for change in differences(mine, theirs)]}
        for mine, theirs in pairs
    ]
    return json.dumps(found, indent=2, ensure_ascii=False)


def _object(change: Change) -> dict[str, str]:
    return {"path": change.path, "left": change.left, "right": change.right, "category": change.category}


COMMAND = Command(
    "diff",
    "tell what changed between two specs: checkpoint, numerics, layout, cost, cosmetic",
    (
        "moec diff old.moe new.moe",
        "moec diff tiny.moe tiny.moe --run baseline --against with_moe",
        "moec diff runs/tiny/baseline new.moe --run baseline",
    ),
    _add_arguments,
    _run,
)
