"""Metrics files are whole lines of JSON, and stay so when a run dies in the middle of one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from jax import numpy as jnp

from moec.runtime.metrics import Journal, keep_through, open_events, plain, records_in, write_json


def test_arrays_become_lists_and_scalars_numbers() -> None:
    found = plain({"load": np.ones((1, 2), np.float32), "loss": jnp.float32(2.5), "n": 3, "none": None, "who": "a"})
    assert found == {"load": [[1.0, 1.0]], "loss": 2.5, "n": 3, "none": None, "who": "a"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.array([1.0, np.nan])])
def test_a_number_that_json_has_not_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        plain({"loss": bad})


def test_a_record_is_on_disk_when_it_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl", None)
    journal.write({"step": 1, "loss": 2.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 2.0}
    journal.close()


def test_a_refused_record_leaves_no_trace(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl", None)
    with pytest.raises(ValueError, match="finite"):
        journal.write({"step": 1, "loss": math.nan})
    journal.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_records_after_the_step_and_the_broken_line_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n{"step": 3, "loss": 0.3}\n{"step": 4, "lo')
    assert [record["step"] for record in records_in(path)] == [1, 2, 3]
    keep_through(path, 2)
    assert path.read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_keeping_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    keep_through(tmp_path / "metrics.jsonl", 3)
    assert list(tmp_path.iterdir()) == []


def test_numbers_also_go_to_tensorboard(tmp_path: Path) -> None:
    seen: list[tuple[str, float, int]] = []

    class Events:
        def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
            seen.append((tag, scalar_value, global_step))

        def close(self) -> None:
            pass

    journal = Journal(tmp_path / "metrics.jsonl", Events())
    journal.write({"step": 7, "loss": 2.0, "expert_load": [[0.5, 0.5]]})
    journal.close()
    assert seen == [("loss", 2.0, 7)]


def test_tensorboard_files_are_real(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    events = open_events(tmp_path, 0)
    assert events is not None
    events.add_scalar("loss", 1.0, 1)
    events.close()
    assert any(path.stat().st_size > 0 for path in tmp_path.iterdir())


def test_an_object_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"steps": 3, "peak_memory_bytes": None})
    assert json.loads((tmp_path / "result.json").read_text()) == {"steps": 3, "peak_memory_bytes": None}
    assert len(list(tmp_path.iterdir())) == 1
