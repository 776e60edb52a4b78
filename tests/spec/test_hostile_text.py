"""Text that was made to hurt: never a traceback, never more than 2 s of CPU or 512 MiB."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from generators import scrap_heaps
from hypothesis import example, given
from hypothesis import strategies as st

from moec.spec import limits, syntax
from moec.spec.diagnostics import Diagnostic
from moec.spec.formatter import format_file
from moec.spec.loader import load, load_text
from moec.spec.parser import parse
from moec.spec.render.full import render_full
from moec.spec.source import Source

SIZE = limits.MAX_FILE_BYTES
SECONDS = 2
LOOP_SECONDS = 0.062
"""What `slowness` measures on a core that nobody shares: two seconds there are what the bound means. A core whose other
half a stranger uses takes up to twice as many for the same work."""

BYTES = 512 << 20

CHECK = """
import resource
import sys
resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
from moec.spec.loader import load
from moec.spec.render.full import render_full
loaded, diagnostics = load(sys.argv[1])
sources = loaded.sources if loaded else {}
text = render_full(diagnostics, sources, color=False, width=100)
print(" ".join(sorted({diagnostic.code for diagnostic in diagnostics})))
assert len(text) < 200_000
""".replace("BYTES", str(BYTES))

WORST = {
    "a deep list": ("x = " + "[" * SIZE, "MOE1030"),
    "deep blocks": ("a b {" * SIZE, "MOE1030"),
    "deep calls": ("x = " + "f(" * SIZE, "MOE1030"),
    "a long sum": ("x = " + "1+" * SIZE, "MOE1031"),
    "a long minus": ("x = " + "-" * SIZE, "MOE1031"),
    "a long path": ("x = a" + ".a" * SIZE, "MOE1031"),
    "a long choice": ("x = " + "1 if 1 else " * SIZE, "MOE1031"),
    "a long name": ("a" * SIZE, "MOE1032"),
    "a million digits": ("x = " + "9" * 10**6, "MOE1033"),
    "a long topology": ("x = " + "1x" * SIZE, "MOE1033"),
    "a long text": ('x = "' + "a" * (SIZE - 7) + '"\n', "MOE1034"),
    "a long list": ("x = [" + "1," * SIZE, "MOE1035"),
    "many fields": ("a=1\n" * SIZE, "MOE1036"),
    "many newlines": ("\n" * SIZE, "MOE1036"),
    "many closers": ("}" * SIZE, "MOE1039"),
    "many brackets that do not match": ("[)" * SIZE, "MOE1039"),
    "many strange characters": ("$ " * SIZE, "MOE1016"),
    "many strange values": ("x = $\n" * SIZE, "MOE1039"),
    "many control characters": ("\0 " * SIZE, "MOE1015"),
    "many lines of control characters": ("\0\n" * SIZE, "MOE1039"),
    "many open texts": ('x = "a)\n' * SIZE, "MOE1039"),
    "many open blocks": ("a b {\n" * SIZE, "MOE1039"),
    "an open text before closers": ('x = "' + "}" * SIZE, "MOE1009"),
    "a text of quotes": ('"' * SIZE, "MOE1001"),
    "a long comment": ("#" * SIZE, ""),
    "curly quotes": ("\u2018" * SIZE, "MOE1001"),
}

WORST_YAML = {
    "aliases of aliases": ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\n", "MOE1102"),
    "open brackets": ("[" * 100_000, "MOE1030"),
    "open braces": ("{a: " * 100_000, "MOE1030"),
    "many expressions": ("model: {a: {x: [" + "a+b, " * 60_000 + "]}}", "MOE1108"),
    "dashes": ("- " * 30_000, "MOE1030"),
    "digits": ("model: {a: {d_model: " + "9" * 500_000 + "}}", "MOE1033"),
    "the same key": ("x: 1\n" * 60_000, "MOE1039"),
    "quotes": ('"' * 500_000, "MOE1101"),
}


@pytest.mark.parametrize(
    ("file_name", "text", "code"),
    [
        pytest.param(file_name, *case, id=f"{name}{file_name.removeprefix('main')}")
        for file_name, cases in {"main.moe": WORST, "main.moe.yaml": WORST_YAML}.items()
        for name, case in cases.items()
    ],
)
def test_the_worst_texts_stay_within_time_and_memory(file_name: str, text: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / file_name
    path.write_bytes(text.encode()[:SIZE].decode(errors="ignore").encode())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert code in done.stdout
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert taken < SECONDS * max(1.0, slowness() if taken >= SECONDS else 1.0)


def slowness() -> float:
    """How much longer than LOOP_SECONDS a loop of Python takes here and now, the median of nine."""
    taken = []
    for _ in range(9):
        began, made = time.process_time(), {}
        for number in range(400_000):
            made[number & 1023] = (number, str(number))
        taken.append(time.process_time() - began)
    return statistics.median(taken) / LOOP_SECONDS


def check(text: str) -> tuple[syntax.File | None, tuple[Diagnostic, ...]]:
    """What comes of `text`, after showing all that is wrong with it."""
    loaded, diagnostics = load_text("test.moe", text)
    render_full(diagnostics, loaded.sources if loaded else {}, color=True, width=80).encode()
    return loaded.main_file if loaded else None, diagnostics


@given(st.binary(max_size=200))
def test_random_bytes_never_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.moe"
    path.write_bytes(data)
    loaded, diagnostics = load(str(path))
    render_full(diagnostics, loaded.sources if loaded else {}, color=False, width=80).encode()


@given(st.text(st.characters(), max_size=100))
@example("\ud800")
@example('x = "\udfff" # \ud800')
def test_random_text_never_raises(text: str) -> None:
    check(text)


@given(scrap_heaps)
def test_what_is_free_of_errors_can_be_formatted(text: str) -> None:
    file, diagnostics = check(text)
    assert file is not None
    if not any(diagnostic.severity == "error" for diagnostic in diagnostics):
        assert parse(Source("again.moe", format_file(file)))[0] == file


SPEC = """edition = 2026
use "base.moe" as base
let heads = 12 # of them
/// A model.
model m extends base.dense {
  attention { n_heads = heads, rope_theta = 500_000 }
  d_ff = round_up(4 * heads, 128) if heads > 4 else [1, 2]
  assert plan.x < 0.9 * hardware.hbm : "leave a \\"tenth\\" free"
}
"""


@given(
    st.integers(0, len(SPEC)),
    st.integers(0, 6),
    st.text(st.sampled_from("{}[]()\"'=,:;#/\\\n\0\u202ea1é "), max_size=4),
)
def test_a_changed_spec_never_raises_and_gives_few_errors(start: int, length: int, inserted: str) -> None:
    text = SPEC[:start] + inserted + SPEC[start + length :]
    _, diagnostics = check(text)
    assert len(diagnostics) <= 10, text


def test_deep_but_allowed_trees_can_be_compared_shown_and_formatted() -> None:
    depth = limits.MAX_NESTING
    text = "x = " + "[-" * depth + "1" + " + 1" * (limits.MAX_OPERATORS - depth) + "]" * depth + "\n"
    file, diagnostics = check(text)
    assert file is not None
    assert diagnostics == ()
    assert parse(Source("again.moe", text))[0] == file
    assert repr(file)
    assert hash(file) == hash(file)
    assert parse(Source("again.moe", format_file(file)))[0] == file


def test_text_cannot_end_a_comment_or_a_string_early() -> None:
    """What stands in a text or a comment stays there, whatever it looks like."""
    inner = 'a\\nb\\"\\"\\"#}\\u{2028}import os'
    file, diagnostics = check(f'model m {{ x = "{inner}" }} # " }} {{\n')
    assert file is not None
    assert diagnostics == ()
    (block,) = file.statements
    assert isinstance(block, syntax.Block)
    (field,) = block.items
    assert isinstance(field, syntax.Field)
    assert field.value == syntax.String('a\nb"""#}\u2028import os', field.span)
