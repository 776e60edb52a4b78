"""When a run with several processes asks JAX whether it must stop."""

from __future__ import annotations

import signal

import jax
import pytest
from jax.experimental import multihost_utils

from moec.runtime.interrupt import Interrupt


def test_a_signal_before_the_first_step_of_a_resumed_run_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    # What JAX does where the signal came before it was asked about anything: it says yes at number 1, and only there.
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", lambda number: number == 1)
    interrupt = Interrupt()
    assert interrupt.stops_here()
    assert interrupt.exit_code == 128 + signal.SIGTERM
