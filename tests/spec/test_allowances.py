"""Warnings that a comment allows, with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.cli.main import main
from moec.compiler.pipeline import check
from moec.spec.loader import load_text

SPEC = """\
edition = 2026
model tiny {
  vocab_size = 256, seq_len = 64, n_layers = 2, d_model = 32
  attention { n_heads = 2 }
  ffn { d_ff = 64 }
  experts {
    every = 2, n_experts = 4, top_k = 2, d_ff = 64
    {above}
    capacity_factor = 1 {behind}
    balance_loss = 0.01
  }
}
mesh here { hardware = cpu, devices = 1 }
budget short { steps = 3 }
run first { model = tiny, mesh = here, budget = short, batch { tokens = 256 } }
"""
REASON = "an even load is forced by hand"


def spec(above: str = "", behind: str = "") -> str:
    return SPEC.replace("{above}", above).replace("{behind}", behind)


def told(text: str) -> list[str]:
    loaded, of_loading = load_text("a.moe", text)
    assert loaded is not None
    return [one.code for one in (*of_loading, *check(loaded))]


def test_the_spec_has_one_warning() -> None:
    assert told(spec()) == ["MOE9101"]


@pytest.mark.parametrize(
    "text",
    [
        spec(above=f"# moec: allow MOE9101: {REASON}"),
        spec(behind=f"# moec: allow MOE9101: {REASON}"),
        spec(above=f"# moec: allow MOE9101: {REASON}\n    # and more about it\n"),
        spec(above=f"# moec: allow MOE9101: {REASON}").replace("\n", "\r\n"),
        spec(above=f"# moec: allow MOE9101: {REASON}").replace("\n", "\r"),
    ],
    ids=["above", "behind", "with more comments and an empty line", "CRLF", "CR"],
)
def test_an_allowance_with_a_reason_takes_the_warning_back(text: str) -> None:
    assert told(text) == []


@pytest.mark.parametrize(
    ("comment", "codes"),
    [
        ("# moec: allow MOE9101", ["MOE9301", "MOE9101"]),
        ("# moec: allow MOE9101:  ", ["MOE9301", "MOE9101"]),
        ("# moec: allow MOE1234567: why", ["MOE9301", "MOE9101"]),
        ("# moec: allow", ["MOE9301", "MOE9101"]),
        ("# moec: allow MOE3101: an error", ["MOE9301", "MOE9101"]),
        ("# moec: allow MOE9302: itself", ["MOE9301", "MOE9101"]),
        ("# moec: allow MOE9102: another one", ["MOE9302", "MOE9101"]),
        ("# moec: allowing MOE9101: no such word", ["MOE9101"]),
    ],
)
def test_an_allowance_that_does_not_hold_is_told_beside_the_warning(comment: str, codes: list[str]) -> None:
    assert told(spec(above=comment)) == codes


def test_one_elsewhere_takes_nothing_back() -> None:
    assert told(f"# moec: allow MOE9101: {REASON}\n{spec()}") == ["MOE9302", "MOE9101"]


def test_text_in_a_string_allows_nothing() -> None:
    title = spec().replace("model tiny {", 'let title = "# moec: allow MOE9101: no"\nmodel tiny {')
    assert "MOE9301" not in told(title)
    assert "MOE9302" not in told(title)
    assert "MOE9101" in told(title)


def test_an_error_is_never_taken_back_and_leaves_other_allowances_alone() -> None:
    text = spec(above=f"# moec: allow MOE9101: {REASON}")
    text = text.replace("n_heads = 2 }", "n_heads = 3 }  # moec: allow MOE3102: no")
    assert told(text) == ["MOE3102", "MOE9301"]


def test_the_yaml_form_has_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.moe"
    path.write_text(spec())
    assert main(["convert", str(path), str(tmp_path / "a.moe.yaml")]) == 0
    text = (tmp_path / "a.moe.yaml").read_text()
    assert "capacity_factor: 1" in text
    (tmp_path / "a.moe.yaml").write_text(
        text.replace("capacity_factor: 1", f"capacity_factor: 1 # moec: allow MOE9101: {REASON}")
    )
    capsys.readouterr()
    assert main(["check", str(tmp_path / "a.moe.yaml"), "--strict"]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_other_commands_keep_quiet_about_it_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.moe"
    path.write_text(spec())
    assert main(["plan", str(path)]) == 0
    assert "MOE9101" in capsys.readouterr().err
    path.write_text(spec(behind=f"# moec: allow MOE9101: {REASON}"))
    assert main(["plan", str(path)]) == 0
    assert capsys.readouterr().err == ""
