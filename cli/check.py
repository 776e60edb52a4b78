"""`moec check`: everything that is wrong with a spec, and nothing written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moec.cli.command import DIAGNOSED, MISUSED, OK, Command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.spec.diagnostics import Diagnostic
    from moec.spec.source import Source, Sources

FORMATS = ("full", "concise", "json", "sarif", "github")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "specs", metavar="SPEC", nargs="+", help=".moe or .moe.yaml files; - reads .moe from standard input"
    )
    parser.add_argument("--format", choices=FORMATS, default="full", help="how to tell what is wrong (default: full)")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")


def _run(arguments: Namespace) -> int:
    from moec.spec.diagnostics import has_errors, in_order

    diagnostics: list[Diagnostic] = []
    sources: dict[str, Source] = {}
    unread = 0
    with _collecting_seldom():
        for path in dict.fromkeys(arguments.specs):
            found, texts = _diagnose(path)
            diagnostics += found
            sources |= texts
            unread += not texts
    told = in_order(_graver(diagnostics) if arguments.strict else diagnostics)
    _print(arguments.format, told, sources)
    if unread:
        return MISUSED
    return DIAGNOSED if has_errors(told) else OK


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """A check makes many objects and drops few: looking for circles among them takes a twentieth of its time."""
    import gc

    kept = gc.get_threshold()
    gc.set_threshold(100_000, *kept[1:])
    try:
        yield
    finally:
        gc.set_threshold(*kept)


def _diagnose(path: str) -> tuple[tuple[Diagnostic, ...], Sources]:
    """All that is wrong with one spec, and the texts that this points into; no texts if it cannot be read."""
    from moec.cli.specs import load_spec

    loaded = load_spec(path)
    if loaded.files is None:
        return loaded.diagnostics, {}
    from moec.compiler.pipeline import check

    return (*loaded.diagnostics, *check(loaded.files)), loaded.sources


def _graver(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    from dataclasses import replace

    return [replace(diagnostic, severity="error") for diagnostic in diagnostics]


def _print(form: str, told: tuple[Diagnostic, ...], sources: Sources) -> None:
    text = _rendered(form, told, sources).rstrip("\n")
    if text:
        print(text)
    elif form == "full":
        print(f"no mistakes in {', '.join(sources)}")


def _rendered(form: str, told: tuple[Diagnostic, ...], sources: Sources) -> str:
    match form:
        case "concise":
            from moec.spec.render.concise import render_concise

            return render_concise(told, sources)
        case "json":
            from moec.spec.render.as_json import render_json

            return render_json(told, sources)
        case "sarif":
            from moec.spec.render.sarif import render_sarif

            return render_sarif(told, sources)
        case "github":
            from moec.spec.render.github import render_github

            return render_github(told, sources)
        case _:
            from moec.cli.terminal import wants_colour, width
            from moec.spec.render.full import render_full

            return render_full(told, sources, color=wants_colour(sys.stdout), width=width(sys.stdout))


COMMAND = Command(
    "check",
    "tell everything that is wrong with a spec",
    (
        "moec check tiny.moe",
        "moec check examples/*.moe --format concise",
        "moec check - --format json < tiny.moe",
        "moec check tiny.moe --strict   # a warning fails it too",
    ),
    _add_arguments,
    _run,
)
