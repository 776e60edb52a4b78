"""A path -> the text of the file. Nothing but a regular file of fair size inside the project is ever opened."""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final

from moec.spec import near
from moec.spec.codes import files as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.limits import MAX_FILE_BYTES
from moec.spec.source import Source, Span

ROOT_MARKS: Final = ("moec.root", ".git", "pyproject.toml")
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_MOST_NEIGHBOURS: Final = 1000


def project_root(path: str) -> Path:
    """The nearest folder above the file at `path` that holds one of ROOT_MARKS; else the file's own folder."""
    folder = Path(os.path.realpath(path)).parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in ROOT_MARKS):
            return candidate
    return folder


def read_source(name: str, root: Path, where: Span) -> Source | Diagnostic:
    """The file at `name`, which is told as at `where` if it cannot be had.

    Errors: MOE0001 to MOE0005, MOE0007.
    """
    real = os.path.realpath(name)
    if not Path(real).is_relative_to(os.path.realpath(root)):
        return codes.outside_project(where, name, root.name or str(root))
    try:
        content = _read_regular(real, name, where)
    except OSError as error:
        return _refusal(error, name, where)
    if isinstance(content, Diagnostic):
        return content
    try:
        return Source(name, content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return codes.not_utf8(where, name, line, content[error.start])


def _read_regular(real: str, name: str, where: Span) -> bytes | Diagnostic:
    what = _what_else(os.stat(real).st_mode)
    if what is not None:
        return codes.not_a_file(where, name, what)
    descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        what = _what_else(os.fstat(descriptor).st_mode)
        if what is not None:
            return codes.not_a_file(where, name, what)
        content = file.read(MAX_FILE_BYTES + 1)
    return codes.file_too_large(where, name) if len(content) > MAX_FILE_BYTES else content


def _what_else(mode: int) -> str | None:
    """What a thing of this `mode` is, None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((what for test, what in _KINDS if test(mode)), "something else")


def _refusal(error: OSError, name: str, where: Span) -> Diagnostic:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return codes.file_not_found(where, name, _neighbour(name))
    return codes.unreadable(where, name, error.strerror or "unknown reason")


def _neighbour(name: str) -> str | None:
    """The file in the same folder whose name is close."""
    folder, wanted = os.path.split(name)
    try:
        with os.scandir(folder or ".") as entries:
            found = near.nearest(wanted, [entry.name for entry in islice(entries, _MOST_NEIGHBOURS)])
    except OSError:
        return None
    return os.path.join(folder, found) if found else None
