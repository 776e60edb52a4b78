"""The plan's numbers between the lines, above the runs, and on the pages that these lead to."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import BASE, ROOT, Desk

from moec.lsp.commands import diff_page, plan_page, program_pages, write_pages
from moec.lsp.numbers import inlay_hints, lenses
from moec.lsp.view import View

EXAMPLES = ROOT / "examples"
POD = """\
edition = 2026
model m {
  vocab_size = 32Ki
  seq_len = 8Ki
  n_layers = 12
  d_model = 1536
  attention { n_heads = 12, d_head = 128 }
  experts { n_experts = 128, top_k = 2, d_ff = 6144, capacity_factor = 1.25, balance_loss = 0.01 }
}
mesh pod { hardware = tpu_v5p, topology = 8x8x8, axes { expert = 16, fsdp = 16, data = auto } }
budget b { law = chinchilla, count = active, tokens_per_param = 20 }
run r { model = m, mesh = pod, budget = b, batch { tokens = 8Mi } }
"""


def hints(view: View) -> dict[int, list[str]]:
    """The hints by line."""
    shown: dict[int, list[str]] = {}
    for hint in inlay_hints(view, view.lines.whole):
        assert isinstance(hint.label, str)
        shown.setdefault(hint.position.line, []).append(hint.label)
    return shown


def test_expressions_and_choices_show_their_worth(desk: Desk) -> None:
    lines = BASE.splitlines()
    by_text = {lines[line]: labels for line, labels in hints(desk.view(BASE)).items()}
    assert by_text["  d_model    = 32 * heads"] == ["= 384"]
    assert by_text["  ffn       { d_ff = 4 * d_model, activation = swiglu }"] == ["= 1536"]
    assert by_text["  attention { n_heads = heads }"] == ["= 12"]
    (mesh,) = (labels for line, labels in by_text.items() if line.startswith("mesh"))
    assert mesh[1] == "= 2"  # data = auto
    assert not any("= 2026" in labels for labels in by_text.values())


def test_a_block_shows_what_it_comes_to(desk: Desk) -> None:
    shown = hints(desk.view(POD))
    view = desk.view_of("a.moe")
    assert view.checked is not None
    plan = view.checked.plans["r"]
    assert shown[1] == ["14.5 B parameters, 822 M active"] or "parameters, " in shown[1][0]
    assert "GiB of 88.5 GiB per device" in shown[9][0] or "per device" in shown[9][0]
    assert shown[9][1] == f"= {plan.mesh.axes['data']}"
    assert f"{plan.budget.steps:,} steps" in shown[10][0]
    assert "tokens/parameter, " in shown[11][0]
    assert shown[11][0].endswith("/step")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.moe")), ids=lambda path: path.stem)
def test_vscode_cuts_no_hint(path: Path, desk: Desk) -> None:
    """Its setting `editor.inlayHints.maximumLength` is 43 characters for the hints of one line together."""
    shown = hints(desk.view(path.read_text(encoding="utf-8")))
    assert max((sum(map(len, labels)) for labels in shown.values()), default=0) <= 43


def test_hints_stay_in_the_lines_that_are_asked_for(desk: Desk) -> None:
    view = desk.view(POD)
    within = view.lines.range(0, POD.index("mesh pod"))
    assert {hint.position.line for hint in inlay_hints(view, within)} == {1}


def test_a_run_has_lenses_with_its_numbers_and_what_can_be_done(desk: Desk) -> None:
    answer = lenses(desk.view(POD))
    commands = [one.command for one in answer if one.command]
    assert [one.command for one in commands] == ["moec.plan", "moec.compile", "moec.diff"]
    for word in ("parameters", "active", "tokens per parameter", "per device", "per step"):
        assert word in commands[0].title
    assert commands[0].arguments == [f"file://{desk.path('a.moe')}", "r"]


def test_a_run_with_mistakes_has_no_numbers(desk: Desk) -> None:
    view = desk.view(POD.replace("n_layers = 12", "n_layers = 0"))
    assert [one.command.title for one in lenses(view) if one.command] == ["unsaved changes"]
    assert hints(view) == {}


def test_the_page_of_a_plan_names_the_lines_of_the_spec(desk: Desk) -> None:
    view = desk.view("# above\n" * 5 + BASE)
    assert view.checked is not None
    page = plan_page(view, view.checked.plans["baseline"])
    assert page.name == "baseline.plan.md"
    assert "a.moe:13:16" in page.text  # vocab_size, five lines down


def test_the_program_of_a_run_is_what_moec_compiles(desk: Desk, tmp_path: Path) -> None:
    view = desk.view(BASE)
    assert view.checked is not None
    pages = program_pages(view.checked.plans["baseline"])
    assert [page.name for page in pages] == ["program.py", "plan.json", "plan.md", "resolved.moe"]
    compile(pages[0].text, "program.py", "exec")
    path = write_pages(pages, tmp_path)
    assert path.name == "program.py"
    assert {one.name for one in path.parent.iterdir()} == {page.name for page in pages}


def test_unsaved_changes_are_told_by_what_they_mean(desk: Desk) -> None:
    (desk.folder / "a.moe").write_text(BASE, encoding="utf-8")
    view = desk.view(BASE.replace("n_layers   = 2", "n_layers   = 4"))
    assert view.checked is not None
    (run,) = view.checked.runs
    page = diff_page(view.name, "baseline", run)
    assert "## checkpoint" in page.text
    assert "| `model.n_layers` | 2 | 4 |" in page.text
    assert "no such run" in diff_page(view.name, "other", None).text
    commented = desk.view(BASE + "\n# a comment\n")
    assert commented.checked is not None
    (same,) = commented.checked.runs
    assert "None that change" in diff_page(view.name, "baseline", same).text
