"""Numbers in messages: how they are written, and which ones nearby would do."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, isqrt
from typing import Final

GIB: Final = 2**30

MAX_DIVIDED: Final = 10**10
"""Above this the divisors of a number are not searched: the search takes its square root in steps."""


def multiples_near(value: int, of: int) -> str:
    """The multiples of `of` on either side of `value`: `4096 or 4128`."""
    below = value // of * of
    return f"{below} or {below + of}" if below else str(of)


def divisors_near(value: int, of: int) -> str:
    """The divisors of `of` on either side of `value`: `6 or 8`. `value` itself does not divide `of`."""
    if of > MAX_DIVIDED:
        return str(gcd(value, of))
    small = [n for n in range(1, isqrt(of) + 1) if of % n == 0]
    divisors = sorted({*small, *(of // n for n in small)})
    below = [n for n in divisors if n < value]
    above = [n for n in divisors if n > value]
    return " or ".join(str(n) for n in (*below[-1:], *above[:1]))


def product(sizes: Mapping[str, int]) -> str:
    """Axes and their sizes as a product: `expert 16 x fsdp 16`; `1` where there are none."""
    return " x ".join(f"{name} {size}" for name, size in sizes.items()) or "1"


def gibibytes(count: int) -> str:
    """Bytes to two decimals: `79.65 GiB`."""
    return f"{count / GIB:.2f} GiB"


def shape(sizes: tuple[int, ...]) -> str:
    """`8x8x8`."""
    return "x".join(str(size) for size in sizes)


def rounded(value: float) -> str:
    """Three significant digits without an exponent for what people read every day: `1.7`, `19.8`, `1,234`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
