"""The page of plans: whole, with nothing that a spec could smuggle in and nothing fetched."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from runs import BASELINE, LAPTOP, POD

from moec.compiler.pipeline import plan_run
from moec.compiler.places import NOWHERE
from moec.compiler.plain_text import plain
from moec.compiler.report.html import plans_html
from moec.compiler.units import size

VOID = {"meta", "br"}
EVIL = "<script>alert('doc')</script> & \"quoted\" <img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags, attributes and words of a page; `open_tags` is empty at the end where all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open_tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag


def page_of(*runs) -> str:
    plans = []
    for run in runs:
        plan, told = plan_run(run)
        assert plan is not None, told
        plans.append((plan, NOWHERE))
    return plans_html(plans)


@pytest.fixture(scope="module")
def both() -> str:
    return page_of(BASELINE, LAPTOP)


def test_every_tag_is_closed_in_its_place(both):
    page = Page(both)
    assert page.open_tags == []
    assert page.tags.count("figure") == 8


def test_a_page_fetches_nothing_and_runs_nothing(both):
    page = Page(both)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action")
        assert name != "href" or value.startswith("#run-")
    without_namespace = both.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http:" not in without_namespace
    assert "https:" not in without_namespace
    assert "@import" not in both
    assert "default-src 'none'" in unescape(both)


@pytest.mark.parametrize("what", ["doc", "model", "budget", "hardware"])
def test_what_a_spec_says_is_words_and_not_markup(what):
    runs = {
        "doc": replace(BASELINE, doc=EVIL),
        "model": replace(BASELINE, model=replace(BASELINE.model, name=EVIL)),
        "budget": replace(BASELINE, budget=replace(BASELINE.budget, name=EVIL)),
        "hardware": replace(
            BASELINE, mesh=replace(BASELINE.mesh, hardware=replace(BASELINE.mesh.hardware, title=EVIL, name=EVIL))
        ),
    }
    text = page_of(runs[what])
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert plain(EVIL) in unescape(text)


def test_several_runs_stand_side_by_side_and_each_has_its_place(both):
    assert "<h2>Side by side</h2>" in both
    for number, name in enumerate(("baseline", "with_moe")):
        assert f'<a href="#run-{number}">{name}</a>' in both
        assert f'<h2 id="run-{number}">{name}: model' in both


def test_one_run_stands_alone():
    text = page_of(POD)
    assert "Side by side" not in text
    assert "<nav>" not in text


def test_the_page_has_the_numbers_of_the_plan():
    plan, _ = plan_run(POD)
    text = unescape(plans_html([(plan, NOWHERE)]))
    assert f"{size(plan.memory.total)} of {size(plan.memory.hbm)}" in text
    for row in plan.derivations:
        if row.name in ("capacity", "steps", "tokens", "train_flops"):
            assert f"<dt>{row.name}: " in text


def test_the_same_plan_gives_the_same_page(both):
    assert page_of(BASELINE, LAPTOP) == both
