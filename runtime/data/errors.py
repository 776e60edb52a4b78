"""The one exception of the data room."""

from __future__ import annotations


class DataError(Exception):
    """Text that cannot be used as it is: one sentence that names the place and one that says what to do."""
