"""Huge pages for the buffers of XLA on CPU, which glibc's malloc asks the kernel for where a variable tells it to.

XLA takes the temporaries of every step from malloc and gives them back; malloc returns them to the kernel, and the next
step touches them anew, a page fault per 4 KiB. With huge pages the quickstart's dense step takes 0.62 of the time and
its mixture's 0.71 (docs/log.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb"
CHOICE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_with_huge_pages(hardware: str) -> None:
    """Starts this Python anew, in the same process, with the variable set, where that would help: on a mesh of CPUs,
    under Linux, where programs get huge pages if they ask and nobody has chosen. Returns where it would not.

    To be called before anything has been done, for nothing of it would stay.
    """
    if hardware != "cpu" or sys.platform != "linux":
        return
    environment = with_huge_pages(os.environ)
    if environment == dict(os.environ) or "[madvise]" not in kernel_choice():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def with_huge_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with glibc's setting 1 (`madvise`) for huge pages; as it was where that setting is there."""
    chosen = environment.get(TUNABLES, "")
    if HUGE_PAGES in chosen:
        return dict(environment)
    return {**environment, TUNABLES: ":".join(filter(None, (chosen, f"{HUGE_PAGES}=1")))}


def kernel_choice() -> str:
    """What the kernel says about huge pages, as in `always [madvise] never`; empty where it says nothing."""
    try:
        return CHOICE.read_text(encoding="ascii")
    except OSError:
        return ""
