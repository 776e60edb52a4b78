"""What the lenses above a run do: show its plan, compile it, tell what has changed since it was saved.

Nothing is written into the workspace: a page or a program goes to a folder of the session's own, which the editor is
asked to show. Nothing is executed.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from moec.compiler.artifacts import compile_run
from moec.compiler.difference import CATEGORIES, Category, Change, differences
from moec.compiler.places import Place, Places
from moec.compiler.plan import Plan
from moec.compiler.report.markdown import plan_markdown
from moec.compiler.resolve import resolve
from moec.compiler.typed import RunSpec
from moec.lsp.view import View
from moec.spec.loader import load
from moec.spec.reader import read


@dataclass(frozen=True, slots=True)
class Page:
    """What a command gives: a text, and the name of the file that is to hold it."""

    name: str
    text: str


def plan_page(view: View, plan: Plan) -> Page:
    """The plan of a run, every number with its formula, its source and its line."""
    found: dict[str, Place] = {}
    for path, span in plan.run.origins.items():
        if span.file in view.front.texts:
            real = view.front.real(span)
            position = view.front.texts[span.file].source.position(real.start)
            found[path] = Place(os.path.basename(span.file), position)
    return Page(f"{plan.run.name}.plan.md", plan_markdown(plan, Places(found)))


def program_pages(plan: Plan) -> tuple[Page, ...]:
    """The files that `moec compile` writes for a run, the program first."""
    artifacts = compile_run(plan)
    return (
        Page("program.py", artifacts.program),
        Page("plan.json", artifacts.plan_json),
        Page("plan.md", artifacts.plan_markdown),
        Page("resolved.moe", artifacts.resolved),
    )


def diff_page(name: str, run: str, in_editor: RunSpec | None) -> Page:
    """What the editor's text changes of the run `run` in the file `name` on disk."""
    return Page(f"{run}.changes.md", "\n".join(_diff_lines(name, run, in_editor)) + "\n")


def _diff_lines(name: str, run: str, in_editor: RunSpec | None) -> list[str]:
    title, on_disk = f"# Unsaved changes of run `{run}`", _run_on_disk(name, run)
    if on_disk is None or in_editor is None:
        where = "On disk" if on_disk is None else "In the editor"
        return [title, "", f"{where} there is no such run, or it has mistakes."]
    changes = differences(on_disk, in_editor)
    if not changes:
        return [title, "", "None that change what the run does."]
    return [title, *(line for category in CATEGORIES for line in _category_lines(category, changes))]


def _category_lines(category: Category, changes: tuple[Change, ...]) -> list[str]:
    rows = [f"| `{one.path}` | {one.left} | {one.right} |" for one in changes if one.category == category]
    head = ["", f"## {category}: {CATEGORIES[category]}", "", "| field | on disk | in the editor |", "|---|---|---|"]
    return [*head, *rows] if rows else []


def _run_on_disk(name: str, run: str) -> RunSpec | None:
    loaded, _ = load(name)
    typed = resolve(read(loaded)[0])[0] if loaded else None
    return next((one for one in typed.runs if one.name == run), None) if typed else None


def write_pages(pages: tuple[Page, ...], folder: Path) -> Path:
    """Writes `pages` into a fresh folder inside `folder`; the path of the first."""
    place = Path(tempfile.mkdtemp(dir=folder))
    for page in pages:
        (place / page.name).write_text(page.text, encoding="utf-8")
    return place / pages[0].name
