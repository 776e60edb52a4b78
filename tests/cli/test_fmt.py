"""`moec fmt`: writes the layout, or says what it would change."""

from __future__ import annotations

from pathlib import Path

import pytest

UNTIDY = "edition   =2026\nlet heads=4   # four\nmodel m {d_model=4*heads}\n"


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "untidy.moe"
    path.write_text(UNTIDY, encoding="utf-8")
    return path


def test_a_file_is_rewritten_in_place_and_stays_so(moec, untidy) -> None:
    assert moec("fmt", "untidy.moe").status == 0
    once = untidy.read_text(encoding="utf-8")
    assert "edition = 2026" in once
    assert "# four" in once
    assert moec("fmt", "--check", "untidy.moe").status == 0
    assert untidy.read_text(encoding="utf-8") == once


def test_checking_shows_a_diff_and_writes_nothing(moec, untidy) -> None:
    called = moec("fmt", "--check", "untidy.moe")
    assert called.status == 1
    assert "\n-edition   =2026\n" in called.out
    assert "\n+edition = 2026\n" in called.out
    assert untidy.read_text(encoding="utf-8") == UNTIDY


def test_standard_input_goes_to_standard_output(moec) -> None:
    called = moec("fmt", "-", stdin=UNTIDY.encode())
    assert called.status == 0
    assert called.out.startswith("edition = 2026\n")


def test_a_file_with_a_syntax_error_is_left_as_it_is(moec, untidy) -> None:
    untidy.write_text("model m {", encoding="utf-8")
    called = moec("fmt", "untidy.moe")
    assert called.status == 1
    assert "error[MOE1" in called.err
    assert untidy.read_text(encoding="utf-8") == "model m {"


def test_what_the_spec_means_does_not_matter(moec, untidy) -> None:
    untidy.write_text('use "missing.moe" as base\nmodel m { nonsense = 1 }\n', encoding="utf-8")
    assert moec("fmt", "untidy.moe").status == 0


def test_yaml_has_no_layout_and_one_is_told_who_formats_it(moec, tmp_path) -> None:
    (tmp_path / "x.moe.yaml").write_text("edition: 2026\n", encoding="utf-8")
    called = moec("fmt", "x.moe.yaml")
    assert called.status == 2
    assert "moec convert" in called.err
    assert "prettier" in called.err


def test_a_link_is_followed_and_the_mode_kept(moec, untidy, tmp_path) -> None:
    untidy.chmod(0o640)
    (tmp_path / "link.moe").symlink_to(untidy)
    assert moec("fmt", "link.moe").status == 0
    assert (tmp_path / "link.moe").is_symlink()
    assert untidy.stat().st_mode & 0o777 == 0o640
    assert untidy.read_text(encoding="utf-8") != UNTIDY
