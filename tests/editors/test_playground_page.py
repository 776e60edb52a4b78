"""The page of the playground in a real browser: it follows what is typed, and what is clicked happens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import browser as chromium
import pytest

from moec.cli.playground.compiling import Compiling
from moec.cli.playground.server import Opened, Server

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not chromium.IS_HERE, reason="needs Chromium and its chromedriver"),
]


@pytest.fixture
def page() -> Iterator[chromium.Browser]:
    """The playground with the quickstart in it, once the first answer is there."""
    with Compiling() as compiling, Server(0, Opened("quickstart.moe", QUICKSTART), compiling) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with chromium.browser() as opened:
                opened.open(server.address)
                opened.wait_for(lambda: "no mistakes" in opened.text("#state"), "the first answer")
                yield opened
        finally:
            server.shutdown()
            thread.join()


def replace(page: chromium.Browser, old: str, new: str) -> None:
    """As typing does, in one go."""
    page.ask(
        "const paper = document.querySelector('#text');"
        f"paper.value = paper.value.replace({json.dumps(old)}, {json.dumps(new)});"
        "paper.dispatchEvent(new Event('input'))"
    )


def test_plan_shapes_and_program_are_shown_for_the_run_that_is_chosen(page: chromium.Browser) -> None:
    assert "baseline: model dense on mesh laptop" in page.text("#shown h2")
    page.click("[data-tab=program]")
    assert "class Attention(nnx.Module)" in page.text("#shown pre")
    page.click("[data-tab=shapes]")
    assert "[D/fsdp, F/model]" in page.text("#shown")
    assert "Experts.w_gate" not in page.text("#shown")
    page.ask(
        "const runs = document.querySelector('#runs'); runs.value = 'with_moe';runs.dispatchEvent(new Event('change'))"
    )
    page.wait_for(lambda: "Experts.w_gate" in page.text("#shown"), "the other run")


def test_what_is_typed_is_planned(page: chromium.Browser) -> None:
    page.ask("const paper = document.querySelector('#text'); paper.focus(); paper.setSelectionRange(0, 0)")
    page.type("#text", "let width = 128\n")
    page.wait_for(lambda: "MOE2" in page.text("#diagnostics"), "the name that nobody uses")
    replace(page, "d_model    = 128", "d_model    = 2 * width")
    page.wait_for(lambda: "no mistakes" in page.text("#state"), "the text without a mistake")
    assert "128 × 344" not in page.text("#shown")
    page.click("[data-tab=shapes]")
    assert "256 × 344" in page.text("#shown")


def test_the_text_is_coloured_where_it_stands(page: chromium.Browser) -> None:
    assert page.ask("return document.querySelector('#colours').textContent") == QUICKSTART + "\n"
    assert page.ask("return document.querySelectorAll('#colours .block').length") == QUICKSTART.count("{")
    tops = "[...document.querySelectorAll('#text, #colours')].map((one) => getComputedStyle(one).font)"
    assert page.ask(f"return new Set({tops}).size") == 1


def test_a_mistake_is_underlined_and_mended_with_a_click(page: chromium.Browser) -> None:
    replace(page, "activation", "activatoin")
    page.wait_for(lambda: "MOE2002" in page.text("#diagnostics"), "the mistake")
    assert page.text("#colours .error") == "activatoin"
    assert page.ask("return document.body.classList.contains('stale')")
    page.click("#diagnostics .fix")
    page.wait_for(lambda: "no mistakes" in page.text("#state"), "the mended text")
    assert page.ask("return document.querySelector('#text').value") == QUICKSTART


def test_what_a_click_has_mended_can_be_taken_back(page: chromium.Browser) -> None:
    page.ask("const paper = document.querySelector('#text'); paper.focus(); paper.setSelectionRange(0, 0)")
    page.type("#text", "modle a {}\n")
    page.wait_for(lambda: "MOE2001" in page.text("#diagnostics"), "the mistake")
    page.click("#diagnostics .fix")
    page.wait_for(lambda: "MOE2001" not in page.text("#diagnostics"), "the mended text")
    page.ask("document.execCommand('undo')")
    page.wait_for(lambda: "MOE2001" in page.text("#diagnostics"), "the mistake again")


def test_a_new_line_begins_where_the_block_wants_it(page: chromium.Browser) -> None:
    place = "const paper = document.querySelector('#text'); const at = paper.value.indexOf('experts {') + 9;"
    page.ask(f"{place} paper.focus(); paper.setSelectionRange(at, at)")
    page.type("#text", "\nscale = 2.0")
    assert "  experts {\n    scale = 2.0\n" in str(page.ask("return document.querySelector('#text').value"))


def test_a_number_leads_to_its_line(page: chromium.Browser) -> None:
    page.ask("document.querySelector('.fact .place').click()")
    line = int(page.text(".fact .place").removeprefix("line "))
    before = page.ask("const t = document.querySelector('#text'); return t.value.slice(0, t.selectionStart)")
    assert str(before).count("\n") == line - 1


def test_markup_in_a_spec_is_text(page: chromium.Browser) -> None:
    replace(page, "/// A dense", "/// <img src=x onerror=alert(1)> A dense")
    replace(page, "/// What do", "/// <b>What</b> do")
    page.wait_for(lambda: page.text("#state").endswith(" ms"), "an answer")
    assert page.ask("return document.querySelectorAll('#shown img, #colours img').length") == 0
