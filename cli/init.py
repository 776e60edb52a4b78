"""`moec init`: a starter spec that runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure
from moec.cli.files import write_new

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="where to write it (default: here)")
    parser.add_argument(
        "--yaml", action="store_true", help="write starter.moe.yaml, the same spec in the YAML form, and its schema"
    )


def _run(arguments: Namespace) -> int:
    folder = Path(arguments.folder)
    path = folder / ("starter.moe.yaml" if arguments.yaml else "starter.moe")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_new(path, starter_yaml() if arguments.yaml else starter_text())
    except FileExistsError:
        raise Failure(f"{path} exists and is left as it is; give another folder: `moec init DIR`") from None
    if arguments.yaml:
        _write_schema(folder)
    print(f"wrote {path}\n\nnext:\n  moec check {path}\n  moec plan {path}\n  moec run {path}")
    return OK


def starter_text() -> str:
    """The starter spec."""
    return (Path(__file__).parent / "starter.moe").read_text(encoding="utf-8")


def starter_yaml() -> str:
    """The starter spec in the YAML form. Its first line leads editors to the schema that lies beside it."""
    from moec.spec.json_schema import SCHEMA_NAME
    from moec.spec.parser import parse
    from moec.spec.source import Source
    from moec.spec.yaml_write import to_yaml

    file, _ = parse(Source("starter.moe", starter_text()))
    return f"# yaml-language-server: $schema={SCHEMA_NAME}\n{to_yaml(file)}"


def _write_schema(folder: Path) -> None:
    """Puts the schema into `folder`, unless one is there."""
    from moec.cli.schema import schema_text
    from moec.spec.json_schema import SCHEMA_NAME

    with suppress(FileExistsError):
        write_new(folder / SCHEMA_NAME, schema_text())


COMMAND = Command(
    "init",
    "write a starter spec that runs",
    (
        "moec init            # ./starter.moe",
        "moec init mine       # mine/starter.moe",
        "moec init --yaml     # the YAML form",
    ),
    _add_arguments,
    _run,
)
