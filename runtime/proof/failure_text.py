"""The meaningful part of what a compiler says when it refuses a program."""

from __future__ import annotations

import re

from moec.runtime.failure import RunError

_OUT_OF_MEMORY = re.compile(r"Ran out of memory in memory space (\w+)[^\n]*?Used ([\d.]+\w) of ([\d.]+\w) \w+")
_EXCEEDS = re.compile(r"[^\n]*\bexceeds available \w+[^\n]*")
_LARGEST = re.compile(r"Size: ([\d.]+\w)\n\s*(?:Operator: op_name=\"([^\"]*)\")?[^\n]*\n\s*Shape: (\S+)", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception)\b: .*\S", re.MULTILINE)
"""The last line of a Python stack: JAX's own code says no while XLA compiles, and XLA adds its places behind it."""

MOST_ALLOCATIONS = 5


def refusal(error: BaseException) -> str:
    """What a person must know of an exception from the compiler."""
    if isinstance(error, RunError):
        return str(error)
    text = str(error)
    if "RESOURCE_EXHAUSTED" in text or "Ran out of memory" in text:
        return out_of_memory(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    outermost = lines[-1] if "Traceback" in lines[0] else lines[0]
    raised = _RAISED.findall(text) if "Traceback" in text else []
    said = raised[-1] if raised else outermost
    return f"the compiler refuses the program: {type(error).__name__}: {said[:500]}"


def out_of_memory(text: str) -> str:
    """The memory asked for and had, and the largest allocations with the operations that asked for them."""
    found = _OUT_OF_MEMORY.search(text)
    exceeds = _EXCEEDS.search(text)
    if found:
        head = f"does not fit: the compiler needs {found.group(2)} of {found.group(3)} {found.group(1)} per device"
    else:
        head = f"does not fit: {exceeds.group(0).strip() if exceeds else text.strip().splitlines()[0][:300]}"
    return "\n".join((head, *largest_allocations(text)))


def largest_allocations(text: str) -> tuple[str, ...]:
    """The largest allocations that the compiler's message lists, under a heading; nothing where it lists none."""
    largest = [
        f"    {size} {shape.split('{')[0]}{f' for {name}' if name else ''}"
        for size, name, shape in _LARGEST.findall(text)[:MOST_ALLOCATIONS]
    ]
    return ("  the largest allocations:", *largest) if largest else ()


def noise_of(output: str) -> str:
    """The last of what a process printed, without the lines that compilers print whatever happens."""
    lines = [line for line in output.splitlines() if line.strip() and not _NOISE.match(line)]
    return "\n".join(lines[-MOST_LINES:]) or "it printed nothing"


_NOISE = re.compile(r"^(?:WARNING: All log messages|[IW]\d{4} |INFO:|\s*\*\*\*|TPU_)")
MOST_LINES = 20
