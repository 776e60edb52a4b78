"""Loss against tokens and against seconds, side by side; told apart by dashes and markers, not by colour alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.curves import Outcome, Scale, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "x")
PANELS: tuple[tuple[Scale, str], ...] = (("tokens", "tokens"), ("seconds", "seconds of training"))
SMOOTHING_SHARE = 0.02
"""Part of a run over which the training loss is averaged. Assumption: smooth enough to read, short enough to trust."""


def draw(outcomes: tuple[Outcome, ...], path: Path) -> None:
    """Writes the PNG at `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    try:
        for panel, (scale, label) in zip(panels, PANELS, strict=True):
            for number, outcome in enumerate(outcomes):
                _draw_run(panel, outcome, scale, number)
            unigram = outcomes[0].result["unigram_loss"]
            panel.axhline(unigram, color="0.6", linewidth=1, linestyle=(0, (1, 3)), label="unigram model, held out")
            panel.set_xlabel(label)
            panel.xaxis.set_major_formatter(EngFormatter(sep=""))
            panel.set_ylim(top=1.15 * unigram)
            panel.grid(color="0.9")
        panels[0].set_ylabel("cross-entropy, nats per token")
        panels[1].legend(frameon=False)
        figure.savefig(path, dpi=150, metadata={"Software": None})
    finally:
        pyplot.close(figure)


def _draw_run(panel: Axes, outcome: Outcome, scale: Scale, number: int) -> None:
    dashes, marker = DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]
    colour = f"C{number}"
    width = max(1, int(SMOOTHING_SHARE * len(outcome.train)))
    panel.plot(
        [point.spent(scale) for point in outcome.train],
        smoothed(outcome.train, width),
        linestyle=dashes,
        color=colour,
        linewidth=1.2,
        label=f"{outcome.title}, training (mean of {width})" if width > 1 else f"{outcome.title}, training",
    )
    panel.plot(
        [point.spent(scale) for point in outcome.held_out],
        [point.loss for point in outcome.held_out],
        linestyle="none",
        marker=marker,
        markersize=6,
        markerfacecolor="white",
        markeredgecolor=colour,
        label=f"{outcome.title}, held out",
    )
