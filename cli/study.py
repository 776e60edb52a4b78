"""The report of a study: a table, a picture, generated text, and where everything lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.comparison import Row, headline, notes, rows
from moec.cli.curves import Outcome, read_outcome

if TYPE_CHECKING:
    from rich.table import Table

    from moec.compiler.typed import StudySpec

REPORT = "report.md"
PICTURE = "loss.png"
PROMPT = "def "
SAMPLE_TOKENS = 200


def write_study(study: StudySpec, runs: tuple[tuple[str, Path], ...], out: Path) -> None:
    """Prints the comparison of the finished `runs`, titles and folders, and writes it below `out`."""
    outcomes = tuple(read_outcome(title, folder) for title, folder in runs)
    table = rows(study, outcomes)
    sentence = headline(study, outcomes)
    samples = tuple(_sample(outcome) for outcome in outcomes) if "sample" in study.report else ()
    if "plot" in study.report:
        from moec.cli.picture import draw

        draw(outcomes, out / PICTURE)
    _print_report(study, outcomes, table, sentence, samples)
    from moec.cli.files import write_whole

    write_whole(out / REPORT, _markdown(study, outcomes, table, sentence, samples))
    _print_places(study, outcomes, out)


def _sample(outcome: Outcome) -> str:
    """What the trained program writes after PROMPT, or why it writes nothing."""
    command = (sys.executable, str(outcome.folder / "program.py"), "generate", "--prompt", PROMPT)
    done = subprocess.run(
        (*command, "--tokens", str(SAMPLE_TOKENS)), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return done.stdout.rstrip("\n")
    reason = done.stderr.strip().splitlines() or ["no reason given"]
    return f"(no sample, status {done.returncode}: {reason[-1]})"


def _print_report(
    study: StudySpec, outcomes: tuple[Outcome, ...], table: tuple[Row, ...], sentence: str, samples: tuple[str, ...]
) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print()
    if "table" in study.report:
        console.print(_rich_table(study, outcomes, table))
        for note in notes(table):
            console.print(Text(note, style="dim"))
    console.print()
    console.print(Text(sentence, style="bold"))
    for outcome, sample in zip(outcomes, samples, strict=bool(samples)):
        console.print()
        console.print(Text(f"{outcome.title} writes:", style="bold"))
        console.print(Text(_printable(sample)))


def _rich_table(study: StudySpec, outcomes: tuple[Outcome, ...], table: tuple[Row, ...]) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(title=f"study {study.name}", box=box.SIMPLE_HEAD, title_justify="left")
    made.add_column("")
    for outcome in outcomes:
        made.add_column(outcome.title, justify="right")
    for row in table:
        made.add_row(row.measure, *row.cells, style="bold" if row.headline else None)
    return made


def _markdown(
    study: StudySpec, outcomes: tuple[Outcome, ...], table: tuple[Row, ...], sentence: str, samples: tuple[str, ...]
) -> str:
    lines = [f"# Study {study.name}", "", *([study.doc, ""] if study.doc else []), f"**{sentence}**", ""]
    if "table" in study.report:
        lines += ["| | " + " | ".join(o.title for o in outcomes) + " |", "|---|" + "---:|" * len(outcomes)]
        lines += [_markdown_row(row) for row in table]
        lines += ["", *notes(table), ""]
    if "plot" in study.report:
        lines += [f"![loss against tokens and against seconds]({PICTURE})", ""]
    for outcome, sample in zip(outcomes, samples, strict=bool(samples)):
        lines += [f"## {outcome.title} writes", "", *(f"    {line}" for line in _printable(sample).split("\n")), ""]
    return "\n".join(lines)


def _markdown_row(row: Row) -> str:
    cells = [f"**{cell}**" if row.headline else cell for cell in (row.measure, *row.cells)]
    return "| " + " | ".join(cells) + " |"


def _printable(text: str) -> str:
    """`text` with characters that would steer a terminal shown as U+FFFD."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text.expandtabs())


def _print_places(study: StudySpec, outcomes: tuple[Outcome, ...], out: Path) -> None:
    print("\nsaved:")
    print(f"  {out / REPORT}")
    if "plot" in study.report:
        print(f"  {out / PICTURE}")
    for outcome in outcomes:
        print(f"  {outcome.folder}/  program, plan, metrics.jsonl, checkpoints, result.json")
