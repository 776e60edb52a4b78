"""What differs between two texts of a program is named by part and line, and neither is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.compiler.emit.program_hash import HASH_LINE, is_as_written
from moec.compiler.program_changes import program_changes

PROGRAM = (Path(__file__).parents[1] / "golden/laptop/with_moe/program.py").read_text(encoding="utf-8")


def changed(old: str, new: str) -> str:
    assert old in PROGRAM
    return PROGRAM.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (changed("capacity=80", "capacity=90"), "`Experts` (line "),
        (changed("end_value=", "end_value=2 * "), "`learning_rate` (line "),
        (changed("import optax\n", "import optax\nimport os\n"), "the imports (line "),
        (changed("if __name__", "print()\nif __name__"), "the statements outside of definitions (line "),
        (changed("def objective", "EXTRA = 1\n\n\ndef objective"), "`EXTRA` (line "),
    ],
)
def test_the_part_that_was_changed_is_named(text: str, part: str) -> None:
    (told,) = program_changes(PROGRAM, text)
    assert told.startswith(part)
    assert is_as_written(text) is False


def test_what_is_gone_what_is_renamed_and_what_only_looks_different_are_told_apart() -> None:
    renamed = program_changes(PROGRAM, PROGRAM.replace("class DenseBlock", "class Renamed"))
    assert len(renamed) == 2
    assert renamed[0].startswith("`Renamed` (line ")
    assert renamed[1] == "`DenseBlock` is gone"
    assert program_changes(PROGRAM, PROGRAM + "# mine\n") == ("comments or layout only",)
    assert program_changes(PROGRAM, "x = (") == ("line 1 is no Python: '(' was never closed",)


def test_a_program_as_written_matches_its_hash_and_one_without_hash_says_nothing() -> None:
    assert is_as_written(PROGRAM) is True
    assert is_as_written(PROGRAM + " ") is False
    without = "".join(row for row in PROGRAM.splitlines(keepends=True) if not row.startswith(HASH_LINE))
    assert is_as_written(without) is None
