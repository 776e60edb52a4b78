"""How much of anything a spec may hold. A file past one of these is refused with a diagnostic, never worked on.

Assumption: each is far above what people write and far below what hurts; `tests/spec/test_hostile_text.py` holds the
worst file under them to 2 s and 512 MiB.
"""

from __future__ import annotations

from typing import Final

MAX_FILE_BYTES: Final = 1 << 20
MAX_PROJECT_BYTES: Final = 2 << 20
MAX_FILES: Final = 256
MAX_TOKENS: Final = 150_000
MAX_NESTING: Final = 64
MAX_OPERATORS: Final = 100
MAX_LIST_ITEMS: Final = 65_536
MAX_IDENTIFIER: Final = 64
MAX_NUMBER: Final = 64
MAX_STRING: Final = 4096
MAX_DIAGNOSTICS: Final = 100
MAX_BLOCKS: Final = 500
