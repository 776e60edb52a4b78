"""`moec plan`: every derived number, with its formula and where it comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moec.cli.command import OK, Command, Failure
from moec.cli.specs import STDIN, add_run, add_spec, read_placed_plans

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from moec.compiler.places import Places
    from moec.compiler.plan import Plan


def _add_arguments(parser: ArgumentParser) -> None:
    add_spec(parser)
    add_run(parser)
    parser.add_argument(
        "--format", choices=("text", "json", "markdown"), help="default: text, or nothing beside --html and --png"
    )
    parser.add_argument("--html", metavar="FILE", help="write one page with pictures and all numbers, no script in it")
    parser.add_argument("--png", metavar="DIR", help="write pictures of memory, step time, mesh and laws of each run")
    parser.add_argument(
        "--prove-top",
        metavar="N",
        type=int,
        choices=range(1, 6),
        help="let the target's compiler judge the planner's best N (1 to 5) candidates, and take the best it accepts",
    )


def _run(arguments: Namespace) -> int:
    plans = read_placed_plans(arguments.spec, arguments.run)
    if arguments.prove_top is not None:
        plans = _proven(arguments, plans)
    _write_pictures(arguments, plans)
    if arguments.format or not (arguments.html or arguments.png):
        print(_rendered(arguments.format or "text", plans).rstrip("\n"))
    return OK


def _write_pictures(arguments: Namespace, plans: tuple[tuple[Plan, Places], ...]) -> None:
    """The files that --html and --png ask for, each told on standard error."""
    try:
        if arguments.html:
            _told(_write_page(Path(arguments.html), plans))
        if arguments.png:
            from moec.cli.plan_pictures import draw_plan

            for plan, _ in plans:
                for path in draw_plan(plan, Path(arguments.png)):
                    _told(path)
    except OSError as error:
        raise Failure(f"{error.filename or arguments.html or arguments.png}: {error.strerror}") from error


def _write_page(path: Path, plans: tuple[tuple[Plan, Places], ...]) -> Path:
    from moec.cli.files import write_whole
    from moec.compiler.report.html import plans_html

    write_whole(path, plans_html(plans))
    return path


def _told(path: Path) -> None:
    print(f"wrote    {path}", file=sys.stderr)


def _proven(arguments: Namespace, plans: tuple[tuple[Plan, Places], ...]) -> tuple[tuple[Plan, Places], ...]:
    """The same runs, each with the candidate that its target's compiler accepts."""
    from moec.cli.prove_top import plan_by_proof
    from moec.cli.specs import choose_runs, read_files, resolve_files

    if arguments.spec == STDIN:
        raise Failure("--prove-top reads the spec twice: give it the path of a file")
    runs = choose_runs(resolve_files(read_files(arguments.spec)), arguments.run)
    pairs = zip(runs, plans, strict=True)
    return tuple((plan_by_proof(run, plan, arguments.prove_top), places) for run, (plan, places) in pairs)


def _rendered(form: str, plans: tuple[tuple[Plan, Places], ...]) -> str:
    """The plans one after the other, then side by side; as JSON one object with a member per run."""
    if form == "json":
        import json

        return json.dumps(_objects(plans), indent=2, ensure_ascii=False)
    from moec.compiler.report.compare import compare, compare_markdown
    from moec.compiler.report.markdown import plan_markdown
    from moec.compiler.report.text import plan_text

    render, side_by_side = (plan_markdown, compare_markdown) if form == "markdown" else (plan_text, compare)
    parts = [render(plan, places) for plan, places in plans]
    if len(plans) > 1:
        parts.append(side_by_side([plan for plan, _ in plans]))
    return "\n".join(parts)


def _objects(plans: tuple[tuple[Plan, Places], ...]) -> dict[str, object]:
    """An object per run; those after the first also say what their step takes over the first run's, and why."""
    from moec.compiler.report.as_json import plan_object
    from moec.compiler.report.compare import answers
    from moec.compiler.report.increase import increase_object

    objects = {plan.run.name: dict(plan_object(plan, places)) for plan, places in plans}
    for answer in answers([plan for plan, _ in plans]):
        objects[answer.other.run.name]["increase"] = increase_object(answer)
    return dict(objects)


COMMAND = Command(
    "plan",
    "print every derived number with its formula",
    (
        "moec plan tiny.moe",
        "moec plan tiny.moe --run baseline",
        "moec plan tiny.moe --format json   # {run: {…}}",
        "moec plan tiny.moe --html plan.html   # one page, opens anywhere",
        "moec plan tiny.moe --png pictures   # four PNGs per run",
        "moec plan pod.moe --prove-top 3   # asks the target's own compiler",
    ),
    _add_arguments,
    _run,
)
