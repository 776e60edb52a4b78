"""Which files a source stands for: the interpreter's own standard library, a path or a glob."""

from __future__ import annotations

import glob
import sysconfig
from pathlib import Path

from moec.runtime.data.errors import DataError

PYTHON_STDLIB = "python_stdlib"

# Left out of the standard library: installed packages, test suites (a fifth of them is data), and what no person wrote
# by hand: character tables, the generated help topics, a conversion tool's grammars, build variables of this machine.
_LEFT_OUT_FOLDERS = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "encodings",
        "idle_test",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
    }
)
_LEFT_OUT_PREFIX = "_sysconfigdata"


def source_files(source: str) -> tuple[Path, ...]:
    """The files of `source`, sorted by their path.

    Relative paths and globs (`**` goes into folders) are looked up from the current folder.
    Errors: DataError if nothing is there or a folder is named instead of its files.
    """
    if source == PYTHON_STDLIB:
        return _stdlib_files()
    pattern = str(Path(source).expanduser())
    found = [Path(pattern)] if Path(pattern).exists() else [Path(name) for name in glob.glob(pattern, recursive=True)]
    if len(found) == 1 and found[0].is_dir():
        raise DataError(
            f"The source {source!r} is a folder. Name its files with a glob, such as {source + '/**/*.txt'!r}."
        )
    files = tuple(sorted(path for path in found if path.is_file()))
    if not files:
        raise DataError(
            f"The source {source!r} matches no file in {Path.cwd()}. "
            "Correct the path or the glob, or run from another folder."
        )
    return files


def _stdlib_files() -> tuple[Path, ...]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = tuple(sorted(path for path in root.rglob("*.py") if _is_kept(path.relative_to(root))))
    if not files:
        raise DataError(
            f"This Python has no source files of its standard library under {root}. "
            "Name text files as the source instead."
        )
    return files


def _is_kept(path: Path) -> bool:
    return _LEFT_OUT_FOLDERS.isdisjoint(path.parts[:-1]) and not path.name.startswith(_LEFT_OUT_PREFIX)
