"""`moec doctor`: asks JAX in a process of its own, and takes any answer."""

from __future__ import annotations

import pytest

from moec.cli import doctor


def test_this_machine_is_described(moec, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "PROBE", "print('1 x chip (cpu), 1 process')")
    called = moec("doctor")
    assert called.status == 0
    assert "1 x chip (cpu)" in called.out
    assert "can check, compile and train" in called.out


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        ("import sys; sys.exit('no driver')", "no driver"),
        ("import os; os.abort()", "status -6"),
        ("import time; time.sleep(60)", "within 0.5 s"),
    ],
)
def test_devices_that_cannot_be_had_are_told(moec, monkeypatch, probe: str, told: str) -> None:
    monkeypatch.setattr(doctor, "PROBE", probe)
    called = moec("doctor", "--timeout", "0.5")
    assert called.status == 1
    assert told in called.out
    assert "missing for training: devices" in called.out


def test_a_package_that_is_missing_is_named(moec, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "PROBE", "print('1 x chip')")
    monkeypatch.setattr(doctor, "NEEDED", ("moec", "no-such-package-here"))
    called = moec("doctor")
    assert called.status == 1
    assert "missing for training: no-such-package-here" in called.out
