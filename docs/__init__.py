"""The pages that `moec explain` shows; `pyproject.toml` installs them as `moec.docs`."""
