"""`moec lsp`: the language server's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    del parser  # it takes none


def _run(arguments: Namespace) -> int:
    raise Failure(
        "the language server is not part of this version. Until it is, an editor can run "
        "`moec check --format concise -` on every save"
    )


COMMAND = Command(
    "lsp",
    "language server on stdio (not part of this version)",
    ("moec lsp   # says what to use until it is there",),
    _add_arguments,
    _run,
)
