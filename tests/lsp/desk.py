"""Specs as the language server sees them, without an editor: texts with a `‸` where the cursor is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types

from moec.lsp.checking import Checked, Checker
from moec.lsp.front import Front, Library
from moec.lsp.positions import Lines
from moec.lsp.view import View
from moec.spec.source import Source

CURSOR = "‸"
ROOT = Path(__file__).parent.parent.parent

BASE = """\
edition = 2026

/// How many heads each model has.
let heads = 12

/// A dense decoder.
model dense {
  vocab_size = 256
  seq_len    = 64
  n_layers   = 2
  d_model    = 32 * heads
  attention { n_heads = heads }
  ffn       { d_ff = 4 * d_model, activation = swiglu }
}

mesh laptop { hardware = cpu, devices = 4, axes { data = auto, fsdp = 2 } }

budget small { steps = 4 }

run baseline {
  model = dense, mesh = laptop, budget = small
  batch { tokens = 256 }
  assert plan.params.total < 10M : "small"
}
"""


def run_to_end(checker: Checker, front: Front, *, certain: bool = False) -> Checked:
    """The check of `front`, without a pause."""
    steps = checker.check(front)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            checked: Checked = end.value
            return checked


@dataclass
class Desk:
    """A folder with specs that are open. A text may hold `‸`, which is taken out and gives `position`."""

    folder: Path
    encoding: types.PositionEncodingKind = types.PositionEncodingKind.Utf16
    library: Library = field(default_factory=Library)
    checkers: dict[str, Checker] = field(default_factory=dict)
    position: types.Position = field(default_factory=lambda: types.Position(0, 0))

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def put(self, text: str, name: str = "a.moe") -> None:
        """Opens `text`, or takes it over as the new text of what is open."""
        offset = text.find(CURSOR)
        source = Source(self.path(name), text.replace(CURSOR, ""))
        if offset >= 0:
            self.position = Lines(source, self.encoding).position(offset)
        self.library.put(source)

    def view(self, text: str, name: str = "a.moe", *, certain: bool = False) -> View:
        """The checked view of `text`, which is open as `name`."""
        self.put(text, name)
        return self.view_of(name, certain=certain)

    def view_of(self, name: str, *, certain: bool = False) -> View:
        front, told = self.library.front(self.path(name), certain=certain)
        assert front is not None, told
        checked = run_to_end(self.checkers.setdefault(name, Checker()), front)
        return View(front, self.encoding, uri_of, checked)


def uri_of(name: str) -> str:
    return Path(name).as_uri()


def found(view: View, within: types.Range) -> str:
    """The text of `view` at `within`."""
    lines = view.lines
    return view.text.source.text[lines.offset(within.start) : lines.offset(within.end)]
