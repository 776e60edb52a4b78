"""The pages that `moec explain` shows; `pyproject.toml` installs the pages in `errors/` with it."""
