"""The suffixes that a number may end in. What they mean is said in `quantities.py`; a test holds the two together."""

from __future__ import annotations

from typing import Final

_COUNTS = ("k", "M", "B", "T", "Ki", "Mi", "Gi", "Ti")
_BYTES = ("kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "PiB")
_FLOPS = ("FLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP")
_TIMES = ("ms", "s", "min", "h", "d")
_RATES = tuple(f"{amount}/s" for amount in (*_BYTES, *_FLOPS))

SUFFIXES: Final = frozenset((*_COUNTS, *_BYTES, *_FLOPS, *_TIMES, *_RATES))
