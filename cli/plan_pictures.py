"""The four pictures of a plan as PNGs, drawn by matplotlib; kinds are told apart by hatching and by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moec.compiler.plain_text import plain
from moec.compiler.plan import Plan
from moec.compiler.report.figures import (
    NOTHING_CUT,
    AxisBand,
    MemoryFigure,
    MeshFigure,
    TimeFigure,
    memory_figure,
    mesh_figure,
    time_figure,
)
from moec.compiler.report.law_figure import LawFigure, law_figure
from moec.compiler.report.svg import most_of
from moec.compiler.report.svg_law import MOST_LOSS, STAR, legend_text
from moec.compiler.units import count, duration, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW, MARGIN = 8.0, 0.32, 1.6
"""Inches: of a picture, of a bar with its space, of what stands above and below the bars."""

HATCHES = {
    "parameters": ("#9fbfdf", ""),
    "gradients": ("#f3c88b", "//"),
    "optimizer": ("#bfe0c2", "\\\\"),
    "activations": ("#e4e4ee", ".."),
    "compute": ("#9fbfdf", ""),
    "memory": ("#f3c88b", "//"),
    "network": ("#e7b3b3", "xx"),
    "overhead": ("#e4e4ee", ".."),
}
"""Face and hatch of each kind."""

STYLES = ("-", "--", ":", "-.", (0, (9, 3)), (0, (5, 1, 1, 1)), (0, (1, 4)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_CELLS = 16
"""Devices of an axis that get a cell of their own."""


def draw_plan(plan: Plan, folder: Path) -> tuple[Path, ...]:
    """Writes memory, step time, mesh and laws of the run into `folder`, and gives their paths."""
    import matplotlib

    matplotlib.use("Agg")
    memory, time, mesh, laws = memory_figure(plan), time_figure(plan), mesh_figure(plan), law_figure(plan)
    drawn = (
        ("memory", memory.title, memory.note, len(memory.parts), lambda panel: _memory(panel, memory)),
        ("step_time", time.title, time.note, len(most_of(time.parts)), lambda panel: _time(panel, time)),
        ("mesh", mesh.title, mesh.note, 3 * max(1, len(mesh.bands)), lambda panel: _mesh(panel, mesh)),
        ("laws", laws.title, laws.note, 14, lambda panel: _laws(panel, laws)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    # A name or a note with `$` in it is words, not a formula.
    with matplotlib.rc_context({"text.parse_math": False, "hatch.linewidth": 0.6}):
        return tuple(
            _write(folder / f"{plan.run.name}-{name}.png", f"{plan.run.name}: {title}", note, rows, draw)
            for name, title, note, rows, draw in drawn
        )


def _write(path: Path, title: str, note: str, rows: int, draw: Callable[[Axes], None]) -> Path:
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(WIDTH, MARGIN + ROW * rows), layout="constrained")
    try:
        panel.set_title(f"{plain(title)}\n{plain(note)}", fontsize=10, loc="left")
        draw(panel)
        figure.savefig(path, dpi=110, metadata={"Software": None})
    finally:
        pyplot.close(figure)
    return path


def _memory(panel: Axes, figure: MemoryFigure) -> None:
    """A bar per kind and one of all, against the memory of a device where that is known."""
    names, left = [f"{part.label}: {part.text}" for part in figure.parts], 0.0
    for number, part in enumerate(figure.parts):
        face, hatch = HATCHES[part.kind]
        for row, start in ((number, 0.0), (len(names), left)):
            panel.barh(row, part.value, left=start, color=face, hatch=hatch, edgecolor="0.15", linewidth=0.6)
        left += part.value
    if figure.limit:
        panel.axvline(figure.limit, color="0.15", linewidth=1.5)
        panel.annotate("HBM ", (figure.limit, len(names)), ha="right", va="center", fontsize=9)
    _name_rows(panel, (*names, f"total: {size(left)}"))
    panel.xaxis.set_major_formatter(lambda amount, _: size(int(amount)))


def _time(panel: Axes, figure: TimeFigure) -> None:
    """A bar for each part of a step, longest first."""
    parts = most_of(figure.parts)
    for row, part in enumerate(parts):
        face, hatch = HATCHES[part.kind]
        panel.barh(row, part.value, color=face, hatch=hatch, edgecolor="0.15", linewidth=0.6)
    _name_rows(panel, [f"{part.label} ({part.kind}): {part.text}" for part in parts])
    panel.xaxis.set_major_formatter(lambda seconds, _: duration(max(0.0, seconds)))


def _name_rows(panel: Axes, names: Sequence[str]) -> None:
    panel.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=9)
    panel.invert_yaxis()
    panel.locator_params(axis="x", nbins=4)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="x", color="0.9")
    panel.set_axisbelow(True)


def _mesh(panel: Axes, figure: MeshFigure) -> None:
    """A row of cells for each axis, what lies on it above, what is sent over it below."""
    panel.set_axis_off()
    panel.set_xlim(0, 1)
    panel.set_ylim(3 * max(1, len(figure.bands)), 0)
    for number, band in enumerate(figure.bands):
        _band(panel, band, 3 * number)
    if not figure.bands:
        panel.text(0, 1, NOTHING_CUT, fontsize=10)


def _band(panel: Axes, band: AxisBand, top: int) -> None:
    cells = band.cells(MOST_CELLS)
    width = 1 / len(cells)
    panel.text(0, top + 0.7, plain(f"{band.name}: {band.carries}"), fontsize=10)
    for cell, label in enumerate(cells):
        face, dashes = ("white" if cell % 2 else "#dce6f0"), ("--" if band.slow else "-")
        panel.barh(top + 1.3, width, height=0.8, left=cell * width, color=face, edgecolor="0.15", linestyle=dashes)
        panel.text((cell + 0.5) * width, top + 1.3, label, ha="center", va="center", fontsize=8)
    panel.text(0, top + 2.15, band.sending, fontsize=9)


def _laws(panel: Axes, figure: LawFigure) -> None:
    """A curve per law, with this run on each; a run beyond the picture stands at its upper edge."""
    for number, curve in enumerate(figure.curves):
        style, marker = STYLES[number % len(STYLES)], MARKERS[number % len(MARKERS)]
        sizes, losses = zip(*curve.points, strict=True)
        panel.plot(sizes, losses, linestyle=style, color="0.15", linewidth=1.4)
        here = min(curve.above, MOST_LOSS)
        panel.plot(
            [curve.chosen_params],
            [here],
            linestyle=style,
            color="0.15",
            marker=marker,
            markerfacecolor="white",
            clip_on=False,
            label=legend_text(curve),
        )
    panel.axvline(figure.ratio_params, color="#a33", linestyle=":", linewidth=1.5, label=figure.ratio_text)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda n_params, _: count(round(n_params)))
    panel.set_xlim(figure.curves[0].points[0][0], figure.curves[0].points[-1][0])
    panel.set_ylim(0, MOST_LOSS)
    panel.set_xlabel("parameters that a law counts")
    panel.set_ylabel("nats above its least loss (+)")
    panel.grid(color="0.9")
    panel.figure.legend(loc="outside lower left", frameon=False, fontsize=8, title=STAR, title_fontsize=8)
