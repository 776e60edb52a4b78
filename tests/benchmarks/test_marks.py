"""The published marks: every run of the spec has one, and what a step would take follows from it."""

from __future__ import annotations

import marks
import plans
import pytest


@pytest.fixture(scope="module")
def judged() -> list[marks.Mark]:
    return [marks.mark_of(name, plan) for name, plan in plans.plans_of(marks.SPEC).items()]


def test_every_mark_is_compared(judged) -> None:
    assert {mark.name for mark in judged} == set(marks.PUBLISHED)
    assert all(f"| {mark.name} |" in marks.report(judged) for mark in judged)


def test_published_shares_of_the_peak_are_those_that_maxtext_names(judged) -> None:
    """Its tables have MFU beside FLOP/s: the same peaks and the same convention of FLOPs."""
    named = {"v5e_16b": 61.1, "v5e_32b": 66.86, "v5e_64b": 59.9, "v5p_32b": 71.47, "v5p_64b": 70.31, "v5p_128b": 68.68}
    shares = {mark.name: 100 * mark.peak_share for mark in judged if mark.name in named}
    assert shares == pytest.approx(named, abs=0.3)


def test_the_models_have_the_sizes_in_their_names(judged) -> None:
    billions = {mark.name: mark.plan.parameters.total / 1e9 for mark in judged}
    sizes = {"v5e_16b": 16, "v5e_32b": 32, "v5e_64b": 64, "v5p_128b": 128}
    assert {name: billions[name] for name in sizes} == pytest.approx(sizes, rel=0.04)
