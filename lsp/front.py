"""Files as the editor has them -> a spec whose names are read and whose values are not worked out yet.

Done anew on every keystroke, and quick: `pieces.py` parses what changed, and reading is one look at each field. All
spans in a `Front` are addresses of `pieces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moec.lsp.pieces import Pieced, PieceStore
from moec.spec.blocks import Spec
from moec.spec.codes import files as codes
from moec.spec.diagnostics import Diagnostic
from moec.spec.disk import project_root, read_source
from moec.spec.limits import MAX_FILE_BYTES
from moec.spec.loader import LoadedFiles, load_with
from moec.spec.reader import read
from moec.spec.source import Source, Span
from moec.spec.syntax import File


@dataclass(frozen=True, slots=True)
class Front:
    """A main file with all that it uses. `texts` are those of all files that were read."""

    texts: Mapping[str, Pieced]
    loaded: LoadedFiles
    spec: Spec
    diagnostics: tuple[Diagnostic, ...]

    @property
    def main(self) -> str:
        return self.loaded.main

    @property
    def text(self) -> Pieced:
        return self.texts[self.main]

    @property
    def others(self) -> tuple[Pieced, ...]:
        """The files that the main file uses, directly or not."""
        return tuple(text for name, text in self.texts.items() if name != self.main)

    @property
    def is_certain(self) -> bool:
        """Whether `moec check` would read the texts alike."""
        return all(text.is_certain for text in self.texts.values())

    def real(self, span: Span) -> Span:
        """`span` in places of its file; a span of no file that was read is the start of the main file."""
        text = self.texts.get(span.file)
        return text.real(span) if text else Span(self.main, 0, 0)

    def address(self, span: Span) -> Span:
        """`span`, which is in places of a file that was read, in addresses."""
        text = self.texts[span.file]
        return Span(span.file, text.address(span.start), text.address(span.end))


class Library:
    """The files that are open in the editor, and the pieces of all files that were read."""

    def __init__(self) -> None:
        self._open: dict[str, Source] = {}
        self._stores: dict[str, PieceStore] = {}
        self._fronts: dict[tuple[str, bool], tuple[Front | None, tuple[Diagnostic, ...]]] = {}

    def source(self, name: str) -> Source:
        """The file `name`, which is open, as the editor has it."""
        return self._open[name]

    def put(self, source: Source) -> None:
        """Takes over what the editor has of a file."""
        self._open[source.name] = source
        self._fronts.clear()

    def forget(self) -> None:
        """Looks at the disk again."""
        self._fronts.clear()

    def close(self, name: str) -> None:
        """Forgets what the editor had of the file `name`; the disk counts again."""
        self._open.pop(name, None)
        self._stores.pop(name, None)
        self._fronts.clear()

    def front(self, main: str, *, certain: bool = False) -> tuple[Front | None, tuple[Diagnostic, ...]]:
        """The spec of the file `main`, with what is wrong with texts and names; None where it cannot be had.

        With `certain`, a text with unbalanced brackets is read as `moec check` reads it, which takes longer.
        """
        if (main, certain) not in self._fronts:
            self._fronts[main, certain] = self._read(main, certain)
        return self._fronts[main, certain]

    def _read(self, main: str, certain: bool) -> tuple[Front | None, tuple[Diagnostic, ...]]:
        root = project_root(main)
        texts: dict[str, Pieced] = {}

        def get(name: str, where: Span) -> Source | Diagnostic:
            source = self._open.get(name)
            if source is None:
                return read_source(name, root, where)
            too_large = len(source.text.encode("utf-8", "surrogatepass")) > MAX_FILE_BYTES
            return codes.file_too_large(where, name) if too_large else source

        def parse(source: Source) -> tuple[File, tuple[Diagnostic, ...]]:
            store = self._stores.setdefault(source.name, PieceStore())
            text = texts[source.name] = store.whole(source) if certain else store.update(source)
            return text.file, text.diagnostics

        loaded, told = load_with(main, get, parse)
        if loaded is None:
            return None, told
        spec, of_names = read(loaded)
        front = Front(texts, loaded, spec, (*told, *of_names))
        return front, front.diagnostics
