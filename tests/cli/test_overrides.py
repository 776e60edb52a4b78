"""`--set`: fields changed from the command line."""

from __future__ import annotations

import pytest

from moec.cli.command import Failure
from moec.cli.overrides import override
from moec.spec.formatter import format_file
from moec.spec.loader import LoadedFiles, load_text
from moec.spec.source import Position

SPEC = """\
edition = 2026
model m { d_model = 32, ffn { d_ff = 64 } }
run first { model = m, batch { tokens = 256 } }
run second extends first { seed = 3 }
"""


def loaded() -> LoadedFiles:
    files, diagnostics = load_text("spec.moe", SPEC)
    assert files is not None
    assert diagnostics == ()
    return files


def text_after(*options: str, runs: tuple[str, ...] = ("first",)) -> str:
    files, diagnostics = override(loaded(), options, runs)
    assert diagnostics == ()
    return format_file(files.main_file)


def test_a_field_in_a_nested_block_is_replaced() -> None:
    text = text_after("run.batch.tokens=8Ki")
    assert "batch { tokens = 8Ki }" in text
    assert "256" not in text


def test_a_field_that_was_not_written_is_added() -> None:
    assert "optimizer { peak_lr = 1e-3 }" in text_after("run.optimizer.peak_lr = 1e-3")


def test_only_the_chosen_runs_are_changed() -> None:
    text = text_after("run.seed=7", runs=("second",))
    assert "run second extends first { seed = 7 }" in text
    assert text.count("seed") == 1


def test_a_block_can_be_named() -> None:
    assert "ffn { d_ff = 2 * 64 }" in text_after("m.ffn.d_ff=2 * 64")


def test_the_last_of_two_options_wins() -> None:
    assert "seed = 2" in text_after("run.seed=1", "run.seed=2")


def test_the_file_itself_is_not_changed() -> None:
    before = loaded()
    override(before, ("run.seed=1",), ("first",))
    assert format_file(before.main_file) == format_file(loaded().main_file)


def test_places_point_into_the_option() -> None:
    files, diagnostics = override(loaded(), ("run.seed=1", "run.batch.tokens=8Kx"), ("first",))
    (diagnostic,) = diagnostics
    source = files.sources["--set"]
    assert source.slice(diagnostic.span) in ("8Kx", "Kx")
    assert source.position(diagnostic.span.start).line == 2
    assert source.position(diagnostic.span.start) >= Position(2, 18)


@pytest.mark.parametrize(
    "option", ["tokens=3", "run.tokens", "=3", "run..seed=3", "run.seed=1\nb=4", "run.a b=3", "run.seed=3, b=4"]
)
def test_an_option_of_another_form_is_misuse(option: str) -> None:
    with pytest.raises(Failure, match="--set") as stopped:
        override(loaded(), (option,), ("first",))
    assert stopped.value.status == 2


def test_a_value_that_is_no_expression_is_a_diagnostic() -> None:
    _, diagnostics = override(loaded(), ("run.seed=3 *",), ("first",))
    assert diagnostics


def test_a_block_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(Failure, match="no block `x`; it has `first`, `m`, `second`"):
        override(loaded(), ("x.seed=1",), ("first",))


def test_what_an_option_sets_is_checked_like_the_spec(moec, tiny) -> None:
    called = moec("run", "tiny.moe", "--run", "baseline", "--set", "run.batch.tokns=8Ki")
    assert called.status == 1
    assert "--> --set:1:11" in called.err
    assert "tokens" in called.err
