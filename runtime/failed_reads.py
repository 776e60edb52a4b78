"""What reads leave behind that were under way when another one failed.

Orbax closes its event loop then: tensorstore's threads find it closed when they come back, coroutines are collected
half done, and Python tells of each of them on standard error, pages of it, after the damage has been told in a line.
"""

from __future__ import annotations

import gc
import inspect
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def hush_unfinished_reads() -> None:
    """Collects them; from now on those that come late are not heard either."""
    former = sys.unraisablehook

    def hook(unraisable: UnraisableHookArgs) -> None:
        if not _is_left_behind(unraisable):
            former(unraisable)

    sys.unraisablehook = hook
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        gc.collect()


def _is_left_behind(unraisable: UnraisableHookArgs) -> bool:
    found = unraisable.exc_value
    late = isinstance(found, RuntimeError) and str(found) == "Event loop is closed"
    return late or inspect.iscoroutine(unraisable.object)
