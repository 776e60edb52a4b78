"""What a person sees."""

from __future__ import annotations

import pytest

from moec.runtime import progress
from moec.runtime.progress import PlainProgress, Standing, open_progress


def standing(step: int, mfu: float | None = None) -> Standing:
    return Standing(step=step, steps=5_000, loss=3.25, step_seconds=0.75, tokens_per_second=5461.3, mfu=mfu)


def test_the_line_has_loss_speed_and_mfu_where_it_is_known() -> None:
    assert standing(1).describe() == "loss 3.2500  5,461 tokens/s  750 ms/step"
    assert standing(1, mfu=0.423).describe().endswith("MFU 42.3%")


@pytest.mark.parametrize(("step", "eta"), [(5_000, "0:00:00"), (4_920, "0:01:00"), (200, "1:00:00")])
def test_the_time_left_is_the_steps_left_at_this_pace(step: int, eta: str) -> None:
    assert standing(step).eta == eta


def test_plain_lines_come_at_the_first_step_the_last_and_at_intervals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 4.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    plain = PlainProgress()
    for step in (1, 2, 3, 4, 5_000):
        plain.show(standing(step))
    shown = [line.split("/")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["step 1", "step 3", "step 5,000"]


def test_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(False) as silent:
        silent.say("hello")
        silent.show(standing(1))
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_live_line_and_lines_that_stay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    with open_progress(True) as live:
        live.say("compiled in [1.0] s")
        live.show(standing(20))
    shown = capsys.readouterr().out
    assert "compiled in [1.0] s" in shown
    assert "20/5,000  loss 3.2500" in shown
