"""`moec explain`: codes, fields, blocks, laws."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.cli.explain import explanation
from moec.compiler.laws.law import Law
from moec.compiler.laws.registry import LAWS
from moec.spec.codes.registry import CODES
from moec.spec.fields.table import all_blocks, all_fields

PAGES = Path(__file__).parents[2] / "docs" / "errors"


@pytest.mark.parametrize("code", CODES)
def test_every_code_shows_its_page(code: str) -> None:
    assert explanation(code) == (PAGES / f"{code}.md").read_text(encoding="utf-8")


def test_a_code_may_be_written_small(moec) -> None:
    assert moec("explain", "moe1001").out.startswith("# MOE1001")


@pytest.mark.parametrize("path", [path for path, _ in all_fields()])
def test_every_field_is_explained_by_its_path(path: str) -> None:
    text = explanation(path)
    assert text.startswith(f"{path}\n")
    assert "default" in text


@pytest.mark.parametrize("path", [block.path for block in all_blocks()])
def test_every_block_lists_its_fields(path: str) -> None:
    block = next(block for block in all_blocks() if block.path == path)
    text = explanation(path)
    assert all(f"  {info.name} " in text for info in block.fields)


def test_a_name_that_several_blocks_have_is_explained_for_each() -> None:
    text = explanation("d_ff")
    assert "model.ffn.d_ff" in text
    assert "model.experts.d_ff" in text


def test_law_explains_the_field_and_every_law() -> None:
    text = explanation("law")
    assert "budget.law" in text
    flat = " ".join(text.split())
    assert all(f"law = {name}: {law.title}" in flat and law.source in flat for name, law in LAWS.items())


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_a_law_tells_its_form_its_numbers_and_where_it_holds(law: Law) -> None:
    flat = " ".join(explanation(law.name).split())
    for part in (law.form, law.n_means, law.flop_rule, law.fitted.routing, law.reading, law.source, *law.notes):
        assert part in flat
    assert all(f"{name} {value:.7g}" in flat for name, value in law.coefficients.items())


def test_one_law_can_be_asked_for() -> None:
    assert "budget.law" not in explanation("besiroglu")


def test_a_topic_that_is_none_is_misuse_and_names_the_nearest(moec) -> None:
    called = moec("explain", "capacity_fctor")
    assert called.status == 2
    assert "did you mean `moec explain capacity_factor`?" in called.err


def test_without_a_topic_all_are_listed(moec) -> None:
    called = moec("explain")
    assert called.status == 0
    assert all(code in called.out for code in CODES)
    assert all(block.path in called.out for block in all_blocks())
