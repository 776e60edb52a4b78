"""What tests of every room share: golden files, and compiling a spec from its text."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from moec.compiler.artifacts import Artifacts
    from moec.compiler.plan import Plan

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

GOLDEN = Path(__file__).parent / "golden"
_DIFF_LINES = 80

Golden = Callable[[str, str], None]
PlanText = Callable[[str], Mapping[str, "Plan"]]
CompileText = Callable[[str], Mapping[str, "Artifacts"]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the files below tests/golden")


def pytest_configure(config: pytest.Config) -> None:
    """The fast stage compiles with XLA's older emitters for CPUs, in two thirds of the time, where jaxlib has them.

    The slow stage and the quickstart compile as users do. Later versions of jaxlib end a process that sets the flag.
    """
    if config.option.markexpr == "not slow" and version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(name, text)`: `text` is what tests/golden/`name` holds; with --update-golden it is written there."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != expected:
            pytest.fail(_difference(name, expected, text), pytrace=False)

    return compare


def _difference(name: str, expected: str, text: str) -> str:
    diff = difflib.unified_diff(expected.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm="", n=2)
    shown = list(diff)
    more = [f"… {len(shown) - _DIFF_LINES} lines more"] if len(shown) > _DIFF_LINES else []
    hint = "If the change is meant: pytest --update-golden, then read the diff in git."
    return "\n".join([*shown[:_DIFF_LINES], *more, hint])


@pytest.fixture(scope="session")
def plan_text() -> PlanText:
    """`plan_text(spec)`: the plan of every run of the spec, which has no errors."""

    def plan(text: str) -> Mapping[str, Plan]:
        from moec.compiler.pipeline import plan_all
        from moec.compiler.resolve import resolve
        from moec.spec.diagnostics import has_errors
        from moec.spec.loader import load_text
        from moec.spec.reader import read

        loaded, told = load_text("spec.moe", text)
        assert loaded is not None, told
        spec, more = read(loaded)
        typed, types = resolve(spec)
        plans, rest = plan_all(typed)
        told = (*told, *more, *types, *rest)
        assert not has_errors(told), [f"{one.code} {one.message}" for one in told]
        return {plan.run.name: plan for plan in plans}

    return plan


@pytest.fixture(scope="session")
def compile_text(plan_text: PlanText) -> CompileText:
    """`compile_text(spec)`: what is written for every run of the spec."""

    def compiled(text: str) -> Mapping[str, Artifacts]:
        from moec.compiler.artifacts import compile_run

        return {name: compile_run(plan) for name, plan in plan_text(text).items()}

    return compiled


@contextmanager
def compiling_quickly() -> Iterator[None]:
    """Most of the time of a small test is XLA's making code fast that runs once."""
    import jax

    kept = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", kept)


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Lets a module do without optimization by XLA."""
    with compiling_quickly():
        yield


@pytest.fixture(scope="session")
def quickly() -> Callable[[], AbstractContextManager[None]]:
    """The same for what is made once and outlives a module."""
    return compiling_quickly
