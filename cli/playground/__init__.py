"""`moec playground`: a page in the browser that checks, plans and compiles a spec while it is typed.

A server on this machine's own address gives the page and passes its text to a process that only compiles; nothing is
written, and no program is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.cli.playground.server import Opened

DEFAULT_PORT = 8017
"""Assumption: not a port that other tools of this kind take (8000, 8080, 8888)."""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", nargs="?", help="what the page begins with (default: the starter)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def _run(arguments: Namespace) -> int:
    import webbrowser

    from moec.cli.playground.server import serve

    def ready(address: str) -> None:
        print(f"playground at {address} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)

    opened = _opened(arguments.spec)
    try:
        serve(opened, arguments.port, ready)
    except KeyboardInterrupt:
        print()
    except OverflowError:
        raise Failure("ports go from 0 to 65535") from None
    return OK


def _opened(path: str | None) -> Opened:
    """The spec that the page begins with. It may be wrong, but it must be text."""
    from pathlib import Path

    from moec.cli.init import starter_text
    from moec.cli.playground.server import MAX_TEXT_BYTES, Opened

    if path is None:
        return Opened("starter.moe", starter_text())
    content = Path(path).read_bytes()
    if len(content) > MAX_TEXT_BYTES:
        raise Failure(f"{path} is larger than the playground takes: {MAX_TEXT_BYTES} bytes")
    try:
        return Opened(Path(path).name, content.decode("utf-8"))
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8 text") from None


COMMAND = Command(
    "playground",
    "a page in the browser that plans and compiles a spec as you type",
    (
        "moec playground             # begins with the starter",
        "moec playground tiny.moe    # begins with this text; the file is not changed",
    ),
    _add_arguments,
    _run,
)
