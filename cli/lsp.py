"""`moec lsp`: the language server, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, OK, Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="what it does in any case; some editors say it")


def _run(arguments: Namespace) -> int:
    try:
        from moec.lsp.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise Failure('the language server needs the package pygls: pip install "moec[lsp]"') from None
    return OK if serve() else DIAGNOSED


COMMAND = Command(
    "lsp",
    "language server on standard input and output, for editors",
    ("moec lsp   # editors start it; docs/editors says how",),
    _add_arguments,
    _run,
)
