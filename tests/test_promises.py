"""Every promise of docs/resilience.md names tests that exist, and says what is not promised."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "resilience.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
ROWS = {int(number): cells.split(" | ") for number, cells in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def names_of_tests(path: Path) -> set[str]:
    """The tests of a file, by name."""
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_page_has_all_fifteen_promises_in_order() -> None:
    assert list(ROWS) == list(range(1, 16))


@pytest.mark.parametrize("number", ROWS)
def test_a_promise_has_tests_that_exist_and_a_limit(number: int) -> None:
    promised, how, tested_by, not_promised = ROWS[number]
    assert all((promised, how, not_promised))
    named = NAMED.findall(tested_by)
    assert named
    assert [f"{path}::{name}" for path, name in named if name not in names_of_tests(TESTS / path)] == []


def test_the_check_knows_a_test_that_is_not_there() -> None:
    assert "test_nothing_of_this_name" not in names_of_tests(Path(__file__))
    assert names_of_tests(TESTS / "none.py") == set()
