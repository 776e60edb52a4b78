"""Writes what follows from the fields table: `docs/language.md` and `schema/moe-2026.json`.

`python -m moec.spec.write_reference` in the root of the repository; tests hold both files to it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from moec.spec.json_schema import SCHEMA_NAME, json_schema
from moec.spec.reference import reference_page

LANGUAGE: Final = Path("docs") / "language.md"
SCHEMA: Final = Path("schema") / SCHEMA_NAME


def generated() -> dict[Path, str]:
    """The text of each file that follows from the table, by its path in the repository."""
    return {LANGUAGE: reference_page(), SCHEMA: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"}


def main() -> None:
    """Writes them, from the root of the repository."""
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
