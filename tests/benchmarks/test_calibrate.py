"""A calibration finds the rates that made the seconds, and refuses shapes that cannot tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import calibrate
import numpy as np
import plans
import pytest

from moec.compiler.plan import Plan
from moec.spec.hardware import Calibration, Hardware
from moec.spec.hardware.catalogue import hardware, parse_hardware

SPEC = Path(__file__).parents[2] / "benchmarks" / "specs" / "step_time.moe"
PLAIN = calibrate.PlainRates(flops_per_second=1e11, bytes_per_second=1e10)
TRUE = Calibration(
    operations={
        "attention projections": 9e10,
        "attention scores, values": 4e10,
        "ffn": 1.1e11,
        "experts": 8e10,
        "head": 1.2e11,
    },
    traffic_bytes_per_second=8e9,
    dispatch_bytes_per_second=3e9,
    update_bytes_per_second=1.2e10,
    step_seconds=0.002,
    layer_seconds=0.0005,
    made_by="a test",
    error="held against no other run",
)


def plans_with(calibration: Calibration) -> dict[str, Plan]:
    """The benchmark's runs on a CPU with these rates."""
    return plans.plans_of(SPEC, replace(hardware("cpu"), calibration=calibration))


@pytest.fixture(scope="module")
def timed() -> dict[str, tuple[Plan, float]]:
    """The runs that calibrate, with the seconds that the TRUE rates give."""
    unit, true = plans_with(calibrate.UNIT), plans_with(TRUE)
    return {name: (unit[name], true[name].step_time.seconds) for name in unit if name.startswith("fit_")}


def rates(calibration: Calibration) -> Mapping[str, float]:
    return {
        **calibration.operations,
        "traffic": calibration.traffic_bytes_per_second,
        "dispatch": calibration.dispatch_bytes_per_second,
        "update": calibration.update_bytes_per_second,
        "step": calibration.step_seconds,
        "layer": calibration.layer_seconds,
    }


def test_the_rates_that_made_the_seconds_are_found(
    timed: dict[str, tuple[Plan, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pull towards the plain rates, which are up to three times off here, is what would move them.
    monkeypatch.setattr(calibrate, "PULL", 1e-6)
    assert rates(calibrate.fit(timed, PLAIN, "a test")) == pytest.approx(rates(TRUE), rel=1e-3)


def test_the_pull_leaves_the_rates_of_what_takes_long_where_they_are(timed: dict[str, tuple[Plan, float]]) -> None:
    found, true = calibrate.fit(timed, PLAIN, "a test").operations, TRUE.operations
    assert found == pytest.approx(true, rel=0.2)


def test_runs_that_were_held_out_take_what_the_fitted_rates_say(timed: dict[str, tuple[Plan, float]]) -> None:
    fitted, true = plans_with(calibrate.fit(timed, PLAIN, "a test")), plans_with(TRUE)
    held = [name for name in true if name.startswith("held_")]
    assert len(held) >= 8
    for name in held:
        assert fitted[name].step_time.seconds == pytest.approx(true[name].step_time.seconds, rel=0.02), name
        assert fitted[name].step_time.calibrated


def test_steps_that_take_turns_at_being_slow_move_the_rates_less_than_the_noise(
    timed: dict[str, tuple[Plan, float]],
) -> None:
    noise = np.random.default_rng(0).uniform(0.97, 1.03, len(timed))
    noisy = {name: (plan, seconds * by) for (name, (plan, seconds)), by in zip(timed.items(), noise, strict=True)}
    fitted, true = plans_with(calibrate.fit(noisy, PLAIN, "a test")), plans_with(TRUE)
    errors = [abs(fitted[name].step_time.seconds / true[name].step_time.seconds - 1) for name in true]
    assert sum(errors) / len(errors) < 0.03


def test_too_few_shapes_are_refused(timed: dict[str, tuple[Plan, float]]) -> None:
    few = dict(list(timed.items())[:9])
    with pytest.raises(ValueError, match="9 steps cannot tell 10 parts apart"):
        calibrate.fit(few, PLAIN, "a test")


def test_shapes_that_are_all_dense_are_refused_with_what_is_missing(timed: dict[str, tuple[Plan, float]]) -> None:
    dense = {name: one for name, one in timed.items() if one[0].run.model.experts is None}
    doubled = {**dense, **{f"{name}_again": one for name, one in dense.items()}}
    with pytest.raises(ValueError, match="no step has any of experts, dispatch"):
        calibrate.fit(doubled, PLAIN, "a test")


def test_one_shape_again_and_again_is_refused(timed: dict[str, tuple[Plan, float]]) -> None:
    same = {f"{number}": timed["fit_few_experts"] for number in range(12)}
    with pytest.raises(ValueError, match="they tell 1 of 10 parts apart"):
        calibrate.fit(same, PLAIN, "a test")


def test_a_calibration_survives_its_hardware_file() -> None:
    read = parse_hardware(calibrate.as_yaml(hardware("cpu"), TRUE, PLAIN))
    assert isinstance(read, Hardware)
    assert read.calibration is not None
    assert rates(read.calibration) == pytest.approx(rates(TRUE), rel=1e-3)
    assert read.calibration.made_by == "a test"
