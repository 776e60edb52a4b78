from __future__ import annotations

import json
import subprocess
import sys

import pytest

from moec.runtime import huge_pages
from moec.runtime.huge_pages import HUGE_PAGES, TUNABLES, start_with_huge_pages, with_huge_pages


def test_the_variable_is_added_to_what_is_tuned_already():
    assert with_huge_pages({}) == {TUNABLES: f"{HUGE_PAGES}=1"}
    assert with_huge_pages({TUNABLES: "glibc.malloc.check=3"})[TUNABLES] == f"glibc.malloc.check=3:{HUGE_PAGES}=1"


def test_a_choice_of_the_user_stays():
    chosen = {TUNABLES: f"{HUGE_PAGES}=0", "HOME": "somewhere"}
    assert with_huge_pages(chosen) == chosen


@pytest.mark.parametrize(
    ("hardware", "kernel"), [("h100", "always [madvise] never"), ("cpu", "[always] madvise never")]
)
def test_nothing_is_started_anew_where_it_would_not_help(monkeypatch, hardware, kernel):
    monkeypatch.setattr(huge_pages, "kernel_choice", lambda: kernel)
    monkeypatch.setattr(huge_pages.os, "execve", lambda *_: pytest.fail("started anew"))
    start_with_huge_pages(hardware)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_a_process_that_starts_anew_keeps_its_arguments_and_does_so_once():
    code = (
        "import json, os, sys\n"
        "from moec.runtime import huge_pages\n"
        "huge_pages.kernel_choice = lambda: 'always [madvise] never'\n"
        "huge_pages.start_with_huge_pages('cpu')\n"
        "print(json.dumps([sys.argv[1:], os.environ['GLIBC_TUNABLES'], sys.flags.safe_path]))\n"
    )
    plain = {name: value for name, value in huge_pages.os.environ.items() if name != TUNABLES}
    done = subprocess.run(
        (sys.executable, "-P", "-c", code, "a b", "--c"), env=plain, capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout) == [["a b", "--c"], f"{HUGE_PAGES}=1", True], done.stderr
