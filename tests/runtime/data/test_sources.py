"""Which files a source stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from moec.runtime.data.documents import read_documents
from moec.runtime.data.errors import DataError
from moec.runtime.data.sources import PYTHON_STDLIB, source_files


def test_the_standard_library_is_megabytes_of_sorted_python_files_that_all_read() -> None:
    files = source_files(PYTHON_STDLIB)
    assert list(files) == sorted(files)
    assert {"argparse.py", "dataclasses.py", "heapq.py"} <= {path.name for path in files}
    assert sum(len(text) for path in files for text in read_documents(path, "auto", "text")) > 5_000_000


def test_the_standard_library_has_no_installed_packages_tests_or_tables() -> None:
    parts = {part for path in source_files(PYTHON_STDLIB) for part in path.parts}
    assert parts.isdisjoint({"site-packages", "dist-packages", "test", "tests", "encodings", "__pycache__"})


def test_a_glob_goes_into_folders_and_sorts(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/1.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text("x")
    assert source_files(f"{tmp_path}/**/*.txt") == (tmp_path / "a.txt", tmp_path / "b" / "1.txt")


def test_a_path_with_glob_characters_that_exists_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "[1].txt").write_text("x")
    assert source_files(f"{tmp_path}/[1].txt") == (tmp_path / "[1].txt",)


def test_a_relative_path_is_looked_up_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert source_files("a.txt") == (Path("a.txt"),)


def test_a_folder_is_refused_with_the_glob_to_write(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder.*\*\*/\*\.txt"):
        source_files(str(tmp_path))


def test_a_source_without_files_is_refused_with_the_folder_that_was_searched(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing-\*.txt' matches no file in /"):
        source_files(f"{tmp_path}/missing-*.txt")
