"""`moec schema`: the JSON Schema of the YAML form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import OK, Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    del parser  # it takes none


def _run(arguments: Namespace) -> int:
    print(schema_text(), end="")
    return OK


def schema_text() -> str:
    """The schema as a file holds it."""
    import json

    from moec.spec.json_schema import json_schema

    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


COMMAND = Command(
    "schema",
    "print the JSON Schema of *.moe.yaml, for editors and other tools",
    ("moec schema > moe-2026.json",),
    _add_arguments,
    _run,
)
