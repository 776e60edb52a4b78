"""What a worker of benchmarks/gpu.py told, in its own process or in that of a test."""

from __future__ import annotations

import io
import json
from typing import Any

Row = dict[str, Any]


class Told(io.StringIO):
    """Where its answers go."""

    def rows(self) -> list[Row]:
        return [json.loads(line) for line in self.getvalue().splitlines()]
