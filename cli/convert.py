"""`moec convert`: .moe to .moe.yaml and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.spec.syntax import File

YAML_ENDINGS = (".yaml", ".yml")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="A", help="a .moe or .moe.yaml file")
    parser.add_argument(
        "target", metavar="B", help="the file to write; its ending says the form; - prints the other form"
    )


def _run(arguments: Namespace) -> int:
    from moec.cli.files import write_whole
    from moec.cli.specs import read_files

    source, target = arguments.source, arguments.target
    if not target.endswith((".moe", *YAML_ENDINGS)) and target != "-":
        raise Failure(f"{target}: the ending must be .moe or .moe.yaml, it says which form to write")
    as_yaml = not source.endswith(YAML_ENDINGS) if target == "-" else target.endswith(YAML_ENDINGS)
    text = _written(read_files(source).main_file, as_yaml)
    if target == "-":
        sys.stdout.write(text)
    else:
        write_whole(Path(target).resolve(), text)
        print(f"wrote {target}", file=sys.stderr)
    return OK


def _written(file: File, as_yaml: bool) -> str:
    if as_yaml:
        from moec.spec.yaml_write import to_yaml

        return to_yaml(file)
    from moec.spec.formatter import format_file

    return format_file(file)


COMMAND = Command(
    "convert",
    "turn .moe into .moe.yaml or back; comments stay behind",
    (
        "moec convert tiny.moe tiny.moe.yaml",
        "moec convert tiny.moe.yaml tiny.moe",
        "moec convert tiny.moe -   # to standard output",
    ),
    _add_arguments,
    _run,
)
