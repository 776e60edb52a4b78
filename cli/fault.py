"""A fault of moec itself: one polite message, the traceback in a file."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback

from moec.cli.command import FAULT


def report_fault(fault: Exception, arguments: tuple[str, ...], version: str) -> int:
    """Saves the traceback, tells where, and gives the exit status. `MOEC_DEBUG=1` prints it too."""
    told = "".join(traceback.format_exception(fault))
    path = _save(f"moec {version}, Python {platform.python_version()}\n$ moec {shlex.join(arguments)}\n\n{told}")
    if os.environ.get("MOEC_DEBUG"):
        print(told, file=sys.stderr)
    where = f"The details are in {path}" if path else "Set MOEC_DEBUG=1 to see the details"
    print(
        f"moec: internal fault ({type(fault).__name__}). This is a mistake in moec, not in your spec.\n{where}; "
        "please report them with the spec if you can share it.",
        file=sys.stderr,
    )
    return FAULT


def _save(text: str) -> str | None:
    """The path of a new file with `text`; None where the temporary folder takes none."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="moec-fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
            return file.name
    except OSError:
        return None
