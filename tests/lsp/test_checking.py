"""The server tells just what `moec check` tells, however the text came to be what it is."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from desk import BASE, ROOT, Desk, run_to_end

from moec.compiler.pipeline import check
from moec.lsp.checking import Checker
from moec.lsp.front import Front
from moec.spec.diagnostics import Diagnostic
from moec.spec.loader import load_text
from moec.spec.source import Span

PAGES = sorted((ROOT / "docs" / "errors").glob("MOE*.md"))
FENCE = re.compile(r"^```moe(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPECS = sorted((ROOT / "tests" / "golden" / "specs").glob("*.moe"))
SHOWN_EDITS = 60


def by_check(main: str, texts: dict[str, str], root: Path) -> set[tuple[object, ...]]:
    """What `moec check` tells."""
    loaded, told = load_text(main, texts[main], others=texts, root=root)
    return {(one.code, one.message, one.span, one.helps) for one in (*told, *(check(loaded) if loaded else ()))}


def by_server(front: Front, told: tuple[Diagnostic, ...]) -> set[tuple[object, ...]]:
    """What the server tells, in places of the files."""
    return {(one.code, one.message, real(front, one.span), one.helps) for one in told}


def real(front: Front, span: Span) -> Span:
    return front.real(span) if span.file in front.texts else span


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_are_told_as_by_check(page: Path, desk: Desk) -> None:
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        texts = {desk.path(match["name"] or "main.moe"): match["text"] for match in FENCE.finditer(section)}
        if not texts:
            continue
        for name, text in texts.items():
            desk.put(text, str(Path(name).relative_to(desk.folder)))
        main = next(iter(texts))
        front, told = desk.library.front(main, certain=True)
        if front is None:
            assert {one.code for one in told} == {row[0] for row in by_check(main, texts, desk.folder)}
        else:
            checked = run_to_end(Checker(), front)
            assert by_server(front, checked.diagnostics) == by_check(main, texts, desk.folder)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_after_any_edits_the_server_tells_what_check_tells(spec: Path, desk: Desk) -> None:
    text, dice, name = spec.read_text(encoding="utf-8"), random.Random(5), desk.path("a.moe")
    original = text
    for _ in range(SHOWN_EDITS):
        place = dice.randrange(len(text))
        if dice.random() < 0.3:
            text = original
        elif dice.random() < 0.5:
            text = (
                text[:place] + dice.choice(("x", "1", " = ", "\n", "}", "{", "#", "heads", "ends", "[")) + text[place:]
            )
        else:
            text = text[:place] + text[place + dice.choice((1, 1, 5, 40)) :]
        view = desk.view(text, certain=True)
        assert view.checked is not None
        assert by_server(view.front, view.checked.diagnostics) == by_check(name, {name: text}, desk.folder), text


def test_only_blocks_that_lean_on_an_edit_are_worked_out_again(desk: Desk) -> None:
    other = BASE.replace("dense", "thin").replace("laptop", "desktop").replace("small {", "tiny {")
    other = other.replace("budget = small", "budget = tiny").replace("baseline", "second")
    text = BASE + other.partition("let heads = 12\n")[2]
    desk.view(text)
    checker = desk.checkers["a.moe"]
    desk.put(text.replace("seq_len    = 64", "seq_len    = 32", 1))
    front, _ = desk.library.front(desk.path("a.moe"))
    assert front is not None
    assert len(list(checker.check(front))) == 3  # the model, its run, the plan of that; not the other model or run


def test_a_let_that_everything_leans_on_is_felt_everywhere(desk: Desk) -> None:
    before = desk.view(BASE)
    after = desk.view(BASE.replace("let heads = 12", "let heads = 4"))
    assert before.checked is not None
    assert after.checked is not None
    small, large = after.checked.plans["baseline"], before.checked.plans["baseline"]
    assert small.parameters.total < large.parameters.total


def test_a_name_that_appears_mends_what_missed_it(desk: Desk) -> None:
    broken = desk.view(BASE.replace("model dense", "model dens"))
    assert broken.checked is not None
    assert "MOE2007" in {one.code for one in broken.checked.diagnostics}
    mended = desk.view(BASE)
    assert mended.checked is not None
    assert mended.checked.diagnostics == ()


def test_a_used_file_is_taken_from_the_editor_before_the_disk(desk: Desk) -> None:
    (desk.folder / "base.moe").write_text(BASE, encoding="utf-8")
    main = 'edition = 2026\nuse "base.moe" as base\nmodel big extends base.dense { n_layers = 4 }\n'
    view = desk.view(main)
    assert view.checked is not None
    assert view.checked.diagnostics == ()
    desk.put(BASE.replace("model dense", "model thick"), "base.moe")
    again = desk.view_of("a.moe")
    assert again.checked is not None
    assert "MOE2008" in {one.code for one in again.checked.diagnostics}


def test_a_yaml_spec_is_checked_as_well(desk: Desk) -> None:
    view = desk.view("edition: 2026\nmodel:\n  dense:\n    d_modle: 4\n", "a.moe.yaml")
    assert view.checked is not None
    assert "MOE2002" in {one.code for one in view.checked.diagnostics}
