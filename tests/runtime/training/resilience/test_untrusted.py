"""What comes from elsewhere is read as data: a checkpoint has no pickles, and loading one executes nothing from it."""

from __future__ import annotations

import ast
import contextlib
import io
import pickle
import pickletools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moec.runtime import loop
from moec.runtime.failure import RunError
from moec.runtime.loop import TrainOptions, train
from moec.runtime.program import Program
from moec.runtime.trained import evaluate_newest

RUNTIME = Path(__file__).parents[4] / "runtime"
EXECUTE = frozenset({"pickle.find_class", "os.system", "subprocess.Popen"})
FORBIDDEN = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"})
_heard: list[str] = []
_listening = False


def _hear(event: str, _: object) -> None:
    if _listening and event in EXECUTE:
        _heard.append(event)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What Python's audit hooks are told of unpickling and of new processes while the test runs."""
    global _listening
    sys.addaudithook(_hear)  # there is no way to take one back
    _listening = True
    yield _heard
    _listening = False
    _heard.clear()


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.marker, "w")


def is_pickle(content: bytes) -> bool:
    """Whether `content` is one pickle from its first byte to a STOP."""
    try:
        operations = [operation.name for operation, _, _ in pickletools.genops(io.BytesIO(content))]
    except Exception:  # pickletools raises whatever comes up where the bytes are not a pickle
        return False
    return len(operations) > 1


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_check_knows_a_pickle(tmp_path: Path) -> None:
    assert all(is_pickle(pickle.dumps({"a": [1]}, protocol)) for protocol in range(6))
    assert not is_pickle(b'{"step": 3}')


def test_no_file_of_a_run_is_a_pickle(trained: Path) -> None:
    files = files_of(trained / "checkpoints")
    assert len(files) > 5
    assert [path for path in files_of(trained) if is_pickle(path.read_bytes())] == []


def test_the_runtime_neither_imports_nor_allows_pickles() -> None:
    """numpy refuses pickles where nobody allows them."""
    found = []
    for path in sorted(RUNTIME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = node.func if isinstance(node, ast.Call) else None
            names += [called.id] if isinstance(called, ast.Name) and called.id in ("eval", "exec") else []
            names += ["allow_pickle"] if isinstance(node, ast.keyword) and node.arg == "allow_pickle" else []
            found += [
                f"{path.name}: {name}"
                for name in names
                if name.partition(".")[0] in FORBIDDEN | {"eval", "exec", "allow_pickle"}
            ]
    assert found == []


def test_a_pickle_in_place_of_any_file_of_a_checkpoint_is_not_unpickled(
    trained: Path, tiny: Program, tmp_path: Path, heard: list[str]
) -> None:
    """One file after the other, and then all; whatever the run makes of it, nothing is executed."""
    marker = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(marker))
    names = [path.relative_to(trained) for path in files_of(trained / "checkpoints" / "6")]
    for number, replaced in enumerate([*([name] for name in names), names]):
        folder = tmp_path / str(number)
        shutil.copytree(trained, folder)
        for name in replaced:
            (folder / name).write_bytes(bomb)
        with contextlib.suppress(RunError):
            evaluate_newest(tiny, folder, 64)
    assert not marker.exists()
    assert heard == []


def test_a_whole_run_is_read_back_without_unpickling(
    trained: Path, tiny: Program, tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tensorboardX, whose threads hand each other pickles of their own."""
    monkeypatch.setattr(loop, "open_events", lambda folder, step: None)
    shutil.copytree(trained, tmp_path / "copy")
    assert train(tiny, TrainOptions(tmp_path / "copy", steps=7)) == 0
    assert heard == []


def test_the_hooks_hear_an_unpickling(tmp_path: Path, heard: list[str]) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed"))).close()
    assert "pickle.find_class" in heard
    assert (tmp_path / "executed").exists()
