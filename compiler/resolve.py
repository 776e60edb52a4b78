"""spec -> typed spec: `Spec -> TypedSpec, diagnostics`.

Works out every value of every block of the main file and of the blocks that its runs name, holds each against the
fields table, and fills in the defaults. A run with errors is left out. Non-goals: whether a model, a mesh and a
budget go together (the passes).
"""

from __future__ import annotations

from moec.compiler.resolve_run import Parts, resolve_study
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import RunSpec, StudySpec, TypedSpec
from moec.spec.blocks import Spec, SpecBlock
from moec.spec.diagnostics import Diagnostic, in_order
from moec.spec.first_mistakes import first_mistakes, without_followers


def resolve(spec: Spec) -> tuple[TypedSpec, tuple[Diagnostic, ...]]:
    """All runs and studies of the main file that nothing is wrong with, and all that is wrong with the others.

    A run that others extend and that names no model is no run but their common part.

    Errors: MOE2004, MOE2007, MOE2010, MOE2013, MOE2014, MOE2018 to MOE2023, MOE21xx.
    """
    scope, parts = Scope(spec), Parts()
    found = [_resolve_block(scope, parts, block) for block in spec.main.blocks.values()]
    runs = tuple(one for one in found if isinstance(one, RunSpec))
    studies = tuple(one for one in found if isinstance(one, StudySpec))
    return TypedSpec(spec.file, runs, studies), first_mistakes(without_followers(scope.diagnostics, spec.broken))


def resolve_alone(spec: Spec, block: SpecBlock) -> tuple[RunSpec | StudySpec | None, tuple[Diagnostic, ...]]:
    """What `resolve` makes of one block of the main file, and what is wrong with it and with all that it leans on.

    Of all blocks together these are the diagnostics of `resolve`; an editor asks again only for blocks that changed.
    """
    scope = Scope(spec)
    found = _resolve_block(scope, Parts(), block)
    return found, in_order(without_followers(scope.diagnostics, spec.broken))


def _resolve_block(scope: Scope, parts: Parts, block: SpecBlock) -> RunSpec | StudySpec | None:
    """The run or study that `block` is, None where it is neither or where something is wrong with it."""
    place = Place(block)
    if _is_common_part(scope.spec, block):
        return None
    match block.path:
        case "run":
            return parts.run(scope, place)
        case "study":
            return resolve_study(scope, place)
        case _:
            _resolve_part(scope, parts, place)
            return None


def _is_common_part(spec: Spec, block: SpecBlock) -> bool:
    """Whether the block is there to be extended. Then it need not be whole; what is wrong with it shows in the
    others.
    """
    if (block.path, block.name) not in spec.extended:
        return False
    return block.path != "run" or "model" not in block.fields


def _resolve_part(scope: Scope, parts: Parts, place: Place) -> None:
    """Works out a model, mesh, data or budget whether a run names it or not, so that all that is wrong with it is
    told.
    """
    match place.root.path:
        case "model":
            parts.model(scope, place)
        case "mesh":
            parts.mesh(scope, place)
        case "data":
            parts.dataset(scope, place)
        case "budget":
            parts.budget(scope, place)
