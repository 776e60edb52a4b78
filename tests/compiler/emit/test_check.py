"""The allow-list: a program that uses anything else is never written."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.compiler.emit.allowed import RUNTIME
from moec.compiler.emit.check import ForbiddenSource, checked

PROGRAM = (Path(__file__).parents[2] / "golden/laptop/with_moe/program.py").read_text()

FORBIDDEN = {
    "another import": ("import jax\n", "import jax\nimport os\n"),
    "an import under another name": ("import jax\n", "import jax\nimport os as jax2\n"),
    "a relative import": ("import jax\n", "import jax\nfrom . import x\n"),
    "a name of the runtime that is not listed": (
        "from moec.runtime.main import main",
        "from moec.runtime.main import main, run_command",
    ),
    "another module of moec": ("import jax\n", "import jax\nfrom moec.compiler import plan\n"),
    "a builtin": ("main(PROGRAM)", 'exec("1")'),
    "open": ("main(PROGRAM)", 'open("x")'),
    "getattr": ("main(PROGRAM)", 'getattr(MESH, "x")'),
    "a dunder attribute": ("main(PROGRAM)", "PROGRAM.__class__"),
    "a private attribute": ("main(PROGRAM)", "PROGRAM._x"),
    "a method of a value": ("main(PROGRAM)", '"x".join([])'),
    "a method of the runtime's objects": ("main(PROGRAM)", "PROGRAM.training.x()"),
    "a library function that is not listed": ("jnp.mean", "jnp.load"),
    "a library module that is not listed": ("optax.adamw", "optax.experimental.x"),
    "jax itself": ("main(PROGRAM)", "jax.eval_shape(PROGRAM)"),
    "a call of a call": ("main(PROGRAM)", "main(PROGRAM)()"),
    "a keyword that the runtime lacks": ("theta=10_000.0", "thetta=10_000.0"),
    "double stars": ("main(PROGRAM)", "main(**PROGRAM)"),
    "a lambda": ("main(PROGRAM)", "main(lambda: 1)"),
    "an f-string": ("main(PROGRAM)", 'main(f"{PROGRAM}")'),
    "a loop": ("main(PROGRAM)", "for x in (): main(x)"),
    "a while": ("main(PROGRAM)", "while True: main(PROGRAM)"),
    "a try": ("    main(PROGRAM)", "    try:\n        main(PROGRAM)\n    finally:\n        main(PROGRAM)"),
    "a comprehension": ("main(PROGRAM)", "main([x for x in ()])"),
    "a decorator with a call of eval": ("def optimizer()", "@eval\ndef optimizer()"),
    "a delete": ("main(PROGRAM)", "del PROGRAM"),
    "a global": ("    hidden_BSD, _", "    global x\n    hidden_BSD, _"),
    "a private method": ("def head_DV", "def __getattr__"),
}


def test_a_golden_program_passes():
    assert checked(PROGRAM) == PROGRAM


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_what_is_not_listed_is_refused(kind):
    old, new = FORBIDDEN[kind]
    assert old in PROGRAM
    with pytest.raises(ForbiddenSource, match="line "):
        checked(PROGRAM.replace(old, new, 1))


def test_source_that_is_no_python_is_refused():
    with pytest.raises(SyntaxError):
        checked(PROGRAM + "\n)")


def test_no_name_of_the_runtime_is_listed_twice():
    names = [name for module in RUNTIME.values() for name in module]
    assert len(names) == len(set(names))
