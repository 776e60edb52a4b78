"""A path -> the file and all files that it uses, parsed.

`use "base.moe" as base` names a file by a literal path, relative to the file that it stands in, inside the project: the
nearest folder above the main file with a `moec.root`, `.git` or `pyproject.toml`, or else the main file's own folder.
A file is read once however many use it. Non-goals: what the names in the files mean.
"""

from __future__ import annotations

import os
import posixpath
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from moec.spec.codes import files as codes
from moec.spec.diagnostics import Diagnostic, has_errors, in_order
from moec.spec.disk import project_root, read_source
from moec.spec.limits import MAX_FILE_BYTES, MAX_FILES, MAX_PROJECT_BYTES
from moec.spec.source import Source, Span
from moec.spec.syntax import File, Use

Read = Callable[[str, Span], Source | Diagnostic]
"""The file of a name; what is wrong is told as at the span, which is the `use` that asks for it."""

Parse = Callable[[Source], tuple[File, tuple[Diagnostic, ...]]]
"""The tree of a source, and all that is wrong with its text."""

_NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LoadedFiles:
    """A spec with all that it uses. `imports` gives the name of the file that a `use` in a file leads to.

    A `use` that leads nowhere, or back in a circle, has been told and is not in `imports`. `broken` says that something
    of the text could not be read, so that names may be missing.
    """

    main: str
    files: Mapping[str, File]
    sources: Mapping[str, Source]
    imports: Mapping[tuple[str, str], str]
    broken: bool = False

    @property
    def main_file(self) -> File:
        return self.files[self.main]

    def imported(self, name: str, use: Use) -> str | None:
        """The name of the file that `use`, which stands in the file `name`, leads to."""
        return self.imports.get((name, use.path.value))


def load(path: str, *, root: Path | None = None) -> tuple[LoadedFiles | None, tuple[Diagnostic, ...]]:
    """The spec at `path` with all that it uses, and what is wrong with their text; None where `path` cannot be read.

    Errors: MOE0xxx, MOE1xxx.
    """
    if "\0" in path:
        return None, (codes.file_not_found(Span(path, 0, 0), path, None),)
    within = root or project_root(path)

    def read(name: str, where: Span) -> Source | Diagnostic:
        return read_source(name, within, where)

    return load_with(path, read)


def load_text(
    name: str, text: str, *, others: Mapping[str, str] = _NO_FILES, root: Path | None = None
) -> tuple[LoadedFiles | None, tuple[Diagnostic, ...]]:
    """As `load`, of a `text` that is not, or not yet, in the file `name`.

    Used files are taken from `others`, by name, and from the disk only where `root` is given.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FILE_BYTES:
        return None, (codes.file_too_large(Span(name, 0, 0), name),)
    texts = {**others, name: text}

    def read(wanted: str, where: Span) -> Source | Diagnostic:
        if wanted in texts:
            return Source(wanted, texts[wanted])
        return read_source(wanted, root, where) if root else codes.file_not_found(where, wanted, None)

    return load_with(name, read)


def load_with(name: str, read: Read, parse: Parse | None = None) -> tuple[LoadedFiles | None, tuple[Diagnostic, ...]]:
    """As `load`, where `read` gives the files and `parse` their trees: an editor has both at hand already."""
    return _Loader(read, parse or parse_source).run(name)


def parse_source(source: Source) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of `source`, in whichever of the two forms its name says."""
    if source.name.endswith((".yaml", ".yml")):
        from moec.spec.yaml_form import parse_yaml

        return parse_yaml(source)
    from moec.spec.parser import parse

    return parse(source)


class _Loader:
    def __init__(self, read: Read, parse: Parse) -> None:
        self.read = read
        self.parse = parse
        self.files: dict[str, File] = {}
        self.sources: dict[str, Source] = {}
        self.imports: dict[tuple[str, str], str] = {}
        self.spans: dict[tuple[str, str], Span] = {}
        self.diagnostics: list[Diagnostic] = []
        self.names: dict[str, str] = {}
        self.size = 0

    def run(self, main: str) -> tuple[LoadedFiles | None, tuple[Diagnostic, ...]]:
        self.names[os.path.realpath(main)] = main
        self._load(main, Span(main, 0, 0))
        if main not in self.files:
            return None, tuple(self.diagnostics)
        waiting = deque([main])
        while waiting:
            waiting += self._load_used(waiting.popleft())
        self._cut_cycles(main)
        broken = has_errors(self.diagnostics)
        loaded = LoadedFiles(main, self.files, self.sources, self.imports, broken)
        return loaded, in_order(self.diagnostics)

    def _load(self, name: str, where: Span) -> bool:
        """Reads and parses the file `name`; whether that was possible."""
        if not name.endswith((".moe", ".yaml", ".yml")):
            self.diagnostics.append(codes.unknown_kind_of_file(where, name))
            return False
        source = self.read(name, where)
        if isinstance(source, Diagnostic):
            self.diagnostics.append(source)
            return False
        self.size += len(source.text)
        if self.size > MAX_PROJECT_BYTES:
            self.diagnostics.append(codes.too_many_bytes(where))
            return False
        self.sources[name] = source
        self.files[name], diagnostics = self.parse(source)
        self.diagnostics += diagnostics
        return True

    def _load_used(self, name: str) -> list[str]:
        """Loads what the file `name` uses; the names of those that were not loaded before."""
        fresh: list[str] = []
        for statement in self.files[name].statements:
            if not isinstance(statement, Use) or not statement.path.value:
                continue
            target = self._target(name, statement)
            if target is None:
                continue
            key, span = (name, statement.path.value), statement.path.span
            if target not in self.files:
                if len(self.files) == MAX_FILES:
                    self.diagnostics.append(codes.too_many_files(span))
                    return fresh
                if not self._load(target, span):
                    continue
                fresh.append(target)
            self.imports[key] = target
            self.spans.setdefault(key, span)
        return fresh

    def _target(self, name: str, use: Use) -> str | None:
        path, span = use.path.value, use.path.span
        if reason := _not_plain(path):
            self.diagnostics.append(codes.not_plain_path(span, reason))
            return None
        target = os.path.normpath(os.path.join(os.path.dirname(name), path))
        return self.names.setdefault(os.path.realpath(target), target)

    def _cut_cycles(self, main: str) -> None:
        """Tells each circle at the `use` that closes it, and takes that one out."""
        used = _by_file(self.imports)
        path: list[tuple[str, str]] = []
        done: set[str] = set()
        open_files = [main]
        waiting = {main: iter(used.get(main, ()))}
        while open_files:
            key = next(waiting[open_files[-1]], None)
            if key is None:
                done.add(open_files.pop())
                path = path[:-1]
            elif (target := self.imports[key]) in open_files:
                self._tell_cycle([*path[open_files.index(target) :], key])
                del self.imports[key]
            elif target not in done:
                open_files.append(target)
                path.append(key)
                waiting[target] = iter(used.get(target, ()))

    def _tell_cycle(self, keys: list[tuple[str, str]]) -> None:
        chain = (*(name for name, _ in keys), self.imports[keys[-1]])
        others = tuple(self.spans[key] for key in keys[:-1])
        self.diagnostics.append(codes.use_cycle(self.spans[keys[-1]], chain, others))


def _by_file(imports: Mapping[tuple[str, str], str]) -> dict[str, list[tuple[str, str]]]:
    used: dict[str, list[tuple[str, str]]] = {}
    for key in imports:
        used.setdefault(key[0], []).append(key)
    return used


def _not_plain(path: str) -> str | None:
    """What is wrong with the path of a used file as it was written, None where nothing is."""
    if not path.isprintable():
        return "has characters that cannot be seen"
    if posixpath.isabs(path) or path[1:2] == ":":
        return "is absolute"
    if "\\" in path:
        return "has a backslash"
    return "begins with `~`" if path.startswith("~") else None
