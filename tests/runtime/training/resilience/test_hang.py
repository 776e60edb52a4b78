"""A run that hangs says where, and ends with an exit code of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from own_process import ended, recorded, start, written_program

from moec.runtime.watchdog import HANG_EXIT_CODE, Watchdog

HANGS_AT_STEP_4 = """
    import threading
    from moec.runtime import session
    original = session.train_batches
    def hanging(*arguments, first_step, **options):
        for step, batch in enumerate(original(*arguments, first_step=first_step, **options), start=first_step + 1):
            if step == 4 and first_step == 0:
                threading.Event().wait()
            yield batch
    session.train_batches = hanging
    main(PROGRAM)
"""


def waited(watchdog: Watchdog, ends: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ends and time.monotonic() < deadline:
        time.sleep(0.01)
    watchdog.stop()


def test_without_a_sign_of_life_all_stacks_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    ends: list[int] = []
    watchdog = Watchdog(0.1, ends.append)
    watchdog.start()
    watchdog.alive()
    waited(watchdog, ends, 20.0)
    said = capfd.readouterr().err
    assert ends == [HANG_EXIT_CODE]
    assert "in test_without_a_sign_of_life_all_stacks_are_printed" in said
    assert "--hang-after" in said


def test_signs_of_life_keep_it_quiet() -> None:
    ends: list[int] = []
    watchdog = Watchdog(1.0, ends.append)
    watchdog.start()
    for _ in range(15):
        watchdog.alive()
        time.sleep(0.1)
    watchdog.stop()
    assert ends == []


def test_nothing_is_ended_before_the_first_sign_of_life_or_with_a_limit_of_zero() -> None:
    ends: list[int] = []
    before, never = Watchdog(0.05, ends.append), Watchdog(0.0, ends.append)
    for watchdog in (before, never):
        watchdog.start()
    never.alive()
    time.sleep(0.3)
    for watchdog in (before, never):
        watchdog.stop()
    assert ends == []


def test_a_run_that_hangs_ends_by_itself_and_goes_on_when_started_again(tmp_path: Path, text_folder: Path) -> None:
    program = written_program(tmp_path / "run", text_folder, **{"\n    main(PROGRAM)\n": HANGS_AT_STEP_4})
    said = ended(start(program, "--steps", "6", "--hang-after", "3"), HANG_EXIT_CODE)
    assert "in hanging" in said
    assert "no step was done for 3 s" in said
    assert "resumed from step 2" in ended(start(program, "--steps", "6", "--hang-after", "60"))
    assert [record["step"] for record in recorded(program.parent)] == [1, 2, 3, 4, 5, 6]
