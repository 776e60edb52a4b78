"""LawFigure -> inline SVG: curves told apart by dashes, the run's place on each as a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from moec.compiler.report.law_figure import Curve, LawFigure
from moec.compiler.report.svg import BOLD, SMALL, WIDTH, drawing, text
from moec.compiler.units import count

LEFT, TOP, RIGHT, BOTTOM = 44.0, 32.0, WIDTH - 8.0, 280.0
LEGEND_ROW: Final = 20
MOST_LOSS: Final = 0.6
"""Nats above the least that are drawn; curves leave the picture above."""

DASHES: Final = ("", "7 4", "2 3", "9 3 2 3", "14 4", "5 2 1 2", "1 5")

ACROSS_AND_UP: Final = "across: parameters that a law counts; up: nats above its least loss (+)"
STAR: Final = "*: this model or its tokens are outside what the law was fitted on"

Scale = Callable[[float], float]
"""From a number to a place in the picture."""


@dataclass(frozen=True, slots=True)
class Frame:
    x_of: Scale
    y_of: Scale
    powers: range
    """Of ten, between the smallest and the largest size."""


def law_svg(figure: LawFigure) -> str:
    """Loss above the least against size, with the size of a fixed ratio as a dotted line."""
    frame = _frame(figure)
    shapes = [text(0, 16, figure.note, BOLD), *_grid(frame), _mark(frame.x_of(figure.ratio_params))]
    for number, curve in enumerate(figure.curves):
        shapes += [_path(curve, DASHES[number % len(DASHES)], frame), *_legend(curve, number)]
    shapes += [_circle(curve, frame) for curve in figure.curves]
    for number, words in enumerate((ACROSS_AND_UP, f"circles: this run; dotted line: {figure.ratio_text}", STAR)):
        shapes.append(text(LEFT, BOTTOM + 42 + 18 * number, words, SMALL))
    return drawing(figure.title, BOTTOM + 84 + LEGEND_ROW * len(figure.curves), shapes)


def _frame(figure: LawFigure) -> Frame:
    sizes = [n_params for curve in figure.curves for n_params, _ in curve.points]
    low, high = log10(min(sizes)), log10(max(sizes))

    def x_of(n_params: float) -> float:
        return LEFT + (RIGHT - LEFT) * (log10(n_params) - low) / (high - low)

    def y_of(loss: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(loss, MOST_LOSS) / MOST_LOSS

    return Frame(x_of, y_of, range(ceil(low), floor(high) + 1))


def _grid(frame: Frame) -> Iterator[str]:
    """Lines of loss, ticks of size."""
    for tenth in range(0, round(10 * MOST_LOSS) + 1, 2):
        y = frame.y_of(tenth / 10)
        yield f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#ddd"/>'
        yield text(LEFT - 6, y + 4, f"{tenth / 10:g}", SMALL, "end")
    for power in frame.powers:
        x = frame.x_of(10.0**power)
        yield f'<path d="M{x:.1f} {BOTTOM}v6" stroke="#222"/>'
        yield text(x, BOTTOM + 20, power_of_ten(power), SMALL, "middle")


def power_of_ten(power: int) -> str:
    """`10 M` for 7: a count without the zeros behind its point."""
    return count(10**power).replace(".00", "").replace(".0", "")


def _path(curve: Curve, dashes: str, frame: Frame) -> str:
    """The curve where it is in the picture."""
    inside = [(n_params, loss) for n_params, loss in curve.points if loss <= MOST_LOSS]
    steps = " ".join(f"{frame.x_of(n_params):.1f},{frame.y_of(loss):.1f}" for n_params, loss in inside)
    return f'<polyline points="{steps}" fill="none" stroke="#222" stroke-width="2" stroke-dasharray="{dashes}"/>'


def _circle(curve: Curve, frame: Frame) -> str:
    """Where this run is, at the upper edge if its loss is beyond it."""
    x, y = frame.x_of(curve.chosen_params), frame.y_of(curve.above)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="#222" stroke-width="2"/>'


def _legend(curve: Curve, number: int) -> Iterator[str]:
    y = BOTTOM + 98 + LEGEND_ROW * number
    dashes = DASHES[number % len(DASHES)]
    yield f'<path d="M{LEFT} {y - 4:.1f}h36" stroke="#222" stroke-width="2" stroke-dasharray="{dashes}"/>'
    yield text(LEFT + 44, y, legend_text(curve), SMALL)


def legend_text(curve: Curve) -> str:
    """The law, what it counts, what it predicts for this run, and by how much that is above its least."""
    star = "*" if curve.doubts else ""
    return f"{curve.law}{star}, {curve.counts.replace('_', ' ')}: loss {curve.loss:.3f}, +{curve.above:.3f}"


def _mark(x: float) -> str:
    return f'<path d="M{x:.1f} {TOP}V{BOTTOM}" stroke="#a33" stroke-width="1.5" stroke-dasharray="3 3"/>'
