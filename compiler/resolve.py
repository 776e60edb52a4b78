"""spec -> typed spec: `Spec -> TypedSpec, diagnostics`.

Works out every value of every block of the main file and of the blocks that its runs name, holds each against the
fields table, and fills in the defaults. A run with errors is left out. Non-goals: whether a model, a mesh and a
budget go together (the passes).
"""

from __future__ import annotations

from moec.compiler.resolve_block import check_written
from moec.compiler.resolve_run import Parts, resolve_run, resolve_study
from moec.compiler.scope import Place, Scope
from moec.compiler.typed import RunSpec, StudySpec, TypedSpec
from moec.spec.blocks import Spec, SpecBlock
from moec.spec.diagnostics import Diagnostic, in_order


def resolve(spec: Spec) -> tuple[TypedSpec, tuple[Diagnostic, ...]]:
    """All runs and studies of the main file that nothing is wrong with, and all that is wrong with the others.

    A run that others extend and that names no model is no run but their common part.

    Errors: MOE2004, MOE2007, MOE2010, MOE2013, MOE2014, MOE2018 to MOE2023, MOE21xx.
    """
    scope, parts = Scope(spec), Parts()
    runs: list[RunSpec] = []
    studies: list[StudySpec] = []
    for block in spec.main.blocks.values():
        place = Place(block)
        if _is_common_part(spec, block):
            check_written(scope, place)
        elif block.path == "run":
            runs += filter(None, (resolve_run(scope, parts, place),))
        elif block.path == "study":
            studies += filter(None, (resolve_study(scope, place),))
        else:
            _resolve_part(scope, parts, place)
    return TypedSpec(spec.file, tuple(runs), tuple(studies)), in_order(scope.diagnostics)


def _is_common_part(spec: Spec, block: SpecBlock) -> bool:
    """Whether the block is there to be extended: then it need not be whole."""
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
