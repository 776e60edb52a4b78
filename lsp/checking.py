"""front -> everything that is to be said about a spec, with the plans of its runs: what `moec check` does, in steps.

Each block is worked out again only if a piece that it leans on has changed. A block leans on the pieces that define a
name that it mentions, and on what those lean on; one with mistakes also on all names of the file, since a message may
list them. Between two blocks the editor may ask for something else, or take the question back.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from moec.compiler.pipeline import plan_run
from moec.compiler.plan import Plan
from moec.compiler.resolve import resolve_alone
from moec.compiler.typed import RunSpec, StudySpec
from moec.lsp.front import Front
from moec.lsp.pieces import Piece, Pieced
from moec.spec.allowances import check_allowances
from moec.spec.blocks import BlockKey, SpecBlock
from moec.spec.diagnostics import Diagnostic, in_order

Told = tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A whole check of `front`. Runs without a plan have mistakes."""

    front: Front
    runs: tuple[RunSpec, ...]
    plans: Mapping[str, Plan]
    diagnostics: Told


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a block was worked out from. Two are equal if the same would come out again."""

    pieces: tuple[Piece, ...]
    others: tuple[Pieced, ...]
    is_extended: bool


@dataclass(frozen=True, slots=True)
class _Resolved:
    basis: _Basis
    names: frozenset[str]
    found: RunSpec | StudySpec | None
    told: Told


@dataclass(frozen=True, slots=True)
class _Planned:
    run: RunSpec
    plan: Plan | None
    told: Told


class Checker:
    """Checks one main file again and again."""

    def __init__(self) -> None:
        self._resolved: dict[BlockKey, _Resolved] = {}
        self._planned: dict[str, _Planned] = {}

    def forget(self) -> None:
        """Works everything out anew the next time: a file that no tree knows of, such as a chip's, has changed."""
        self._resolved.clear()
        self._planned.clear()

    def check(self, front: Front) -> Generator[None, None, Checked]:
        """The check of `front`; each step is short, and it may be left off between two."""
        leaning = _Leaning(front)
        told: list[Diagnostic] = list(front.diagnostics)
        runs: list[RunSpec] = []
        for key, block in front.spec.main.blocks.items():
            resolved, is_new = self._resolve(front, leaning, key, block)
            told += resolved.told
            if isinstance(resolved.found, RunSpec):
                runs.append(resolved.found)
            if is_new:
                yield
        plans: dict[str, Plan] = {}
        for run in runs:
            planned, is_new = self._plan(run)
            told += planned.told
            if planned.plan is not None:
                plans[run.name] = planned.plan
            if is_new:
                yield
        self._drop_old(front, runs)
        told = [*check_allowances(told, front.loaded, front.real, front.address)]
        return Checked(front, tuple(runs), plans, in_order(told))

    def _resolve(self, front: Front, leaning: _Leaning, key: BlockKey, block: SpecBlock) -> tuple[_Resolved, bool]:
        """The block worked out, and whether that had to be done now."""
        basis = _Basis(leaning.pieces_behind(block.name), front.others, key in front.spec.extended)
        known = self._resolved.get(key)
        if known and known.basis == basis and (not known.told or known.names == leaning.names):
            return known, False
        self._resolved[key] = _Resolved(basis, leaning.names, *resolve_alone(front.spec, block))
        return self._resolved[key], True

    def _plan(self, run: RunSpec) -> tuple[_Planned, bool]:
        known = self._planned.get(run.name)
        if known and known.run is run:
            return known, False
        self._planned[run.name] = _Planned(run, *plan_run(run))
        return self._planned[run.name], True

    def _drop_old(self, front: Front, runs: list[RunSpec]) -> None:
        names = {run.name for run in runs}
        self._planned = {name: one for name, one in self._planned.items() if name in names}
        self._resolved = {key: one for key, one in self._resolved.items() if key in front.spec.main.blocks}


class _Leaning:
    """Which pieces of the main file each name leans on."""

    def __init__(self, front: Front) -> None:
        self.pieces = front.text.pieces
        self.names = frozenset(name for piece in self.pieces for name in piece.defines)
        self._by_name: dict[str, list[int]] = {}
        for index, piece in enumerate(self.pieces):
            for name in piece.defines:
                self._by_name.setdefault(name, []).append(index)

    def pieces_behind(self, name: str) -> tuple[Piece, ...]:
        """The pieces that define `name`, and those that they lean on, in the order of the file."""
        found: set[int] = set()
        waiting = [name]
        while waiting:
            for index in self._by_name.get(waiting.pop(), ()):
                if index not in found:
                    found.add(index)
                    waiting += self.pieces[index].mentions
        return tuple(self.pieces[index] for index in sorted(found))
