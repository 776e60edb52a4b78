"""The process that compiles for the page: a question per line on standard input, an answer per line on standard output.

It runs in an empty folder, with bounds on memory where the system has them, and is ended when a question takes too
long. A question is `{"name", "text", "run"}`; an answer is that of `answer.py`, or `{"fault": …}`.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Final

from moec.cli.playground.answer import Json, answer

MAX_MEMORY_BYTES: Final = 2 << 30
"""Assumption: four times what the worst file within `moec.spec.limits` takes."""


def reply(line: str) -> str:
    """The answer to one question, which keeps to one line."""
    question: Json = json.loads(line)
    try:
        found = answer(question["name"], question["text"], question["run"])
    except Exception as fault:
        found = {"fault": f"{type(fault).__name__}: {fault}"}
    return json.dumps(found)


def main() -> None:
    """Answers until standard input ends."""
    _bound_memory()
    for line in sys.stdin:
        print(reply(line), flush=True)


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    main()
