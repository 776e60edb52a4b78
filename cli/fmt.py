"""`moec fmt`: the one layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, OK, Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "specs", metavar="SPEC", nargs="+", help=".moe files, rewritten in place; - formats standard input"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; show what would change, and exit 1 if anything"
    )


def _run(arguments: Namespace) -> int:
    changed = 0
    for path in arguments.specs:
        before, after = _formatted(path)
        if arguments.check:
            changed += _show_change(path, before, after)
        elif path == "-":
            sys.stdout.write(after)
        elif before != after:
            _replace(path, after)
    if not changed:
        return OK
    print(f"{changed} of {len(arguments.specs)} would change; `moec fmt` writes the layout", file=sys.stderr)
    return DIAGNOSED


def _formatted(path: str) -> tuple[str, str]:
    """The text of the spec at `path` as it is and as it should be. Only the text is looked at, not what it means."""
    from moec.cli.specs import load_spec, stop_on_errors
    from moec.spec.formatter import format_file

    if path.endswith((".yaml", ".yml")):
        raise Failure(
            f"{path}: `moec fmt` lays out .moe files; YAML is laid out by prettier and by the YAML servers of editors, "
            f"and `moec convert {path} OTHER.moe` makes a .moe file of it"
        )
    loaded = load_spec(path)
    own = tuple(d for d in loaded.diagnostics if d.span.file == loaded.path and d.code >= "MOE1")
    if loaded.files is None:
        stop_on_errors(loaded.diagnostics, loaded.sources)
        raise Failure(f"{loaded.path} cannot be read")
    stop_on_errors(own, loaded.sources)
    return loaded.sources[loaded.path].text, format_file(loaded.files.main_file)


def _replace(path: str, text: str) -> None:
    from moec.cli.files import write_whole

    write_whole(Path(path).resolve(), text)
    print(f"formatted {path}", file=sys.stderr)


def _show_change(path: str, before: str, after: str) -> bool:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(True), after.splitlines(True), f"{path} as it is", f"{path} formatted")
    for line in lines:
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n")
    return before != after


COMMAND = Command(
    "fmt",
    "lay a spec out in the one canonical way",
    (
        "moec fmt tiny.moe",
        "moec fmt --check examples/*.moe   # exit 1 and a diff if any would change",
        "moec fmt - < tiny.moe",
    ),
    _add_arguments,
    _run,
)
