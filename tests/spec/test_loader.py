"""Files that a spec is made of, and those that are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from moec.spec import limits
from moec.spec.diagnostics import Diagnostic
from moec.spec.disk import project_root
from moec.spec.loader import load, load_text
from moec.spec.syntax import Use


def write(folder: Path, files: dict[str, str]) -> str:
    """The path of `main.moe`, written into `folder` with the other `files`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(folder / "main.moe")


def codes(diagnostics: tuple[Diagnostic, ...]) -> list[str]:
    return [diagnostic.code for diagnostic in diagnostics]


def refusal(path: str | Path) -> Diagnostic:
    """Why the file at `path` is refused."""
    loaded, diagnostics = load(str(path))
    assert loaded is None
    (diagnostic,) = diagnostics
    return diagnostic


def test_a_spec_is_loaded_with_all_that_it_uses(tmp_path: Path) -> None:
    files = {
        "main.moe": 'use "lib/a.moe" as a\nuse "lib/b.moe" as b\n',
        "lib/a.moe": 'use "b.moe" as b\n',
        "lib/b.moe": "model m { x = 1 }\n",
    }
    path = write(tmp_path, files)
    loaded, diagnostics = load(path)
    assert diagnostics == ()
    assert loaded is not None
    assert loaded.main == path
    first = loaded.main_file.statements[0]
    assert isinstance(first, Use)
    name = loaded.imported(path, first)
    assert name == str(tmp_path / "lib/a.moe")
    assert sorted(loaded.files) == sorted(loaded.sources) == sorted(str(tmp_path / name) for name in files)
    assert loaded.imports[name, "b.moe"] == loaded.imports[path, "lib/b.moe"]


def test_mistakes_in_a_used_file_are_told_there(tmp_path: Path) -> None:
    path = write(tmp_path, {"main.moe": 'use "a.moe" as a\n', "a.moe": "x = $\n"})
    loaded, (diagnostic,) = load(path)
    assert loaded is not None
    assert (diagnostic.code, diagnostic.span.file) == ("MOE1016", str(tmp_path / "a.moe"))


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, {"main.moe": ""})
    diagnostic = refusal(tmp_path / "mian.moe")
    assert diagnostic.code == "MOE0001"
    assert diagnostic.helps == (f"did you mean `{tmp_path / 'main.moe'}`?",)


def test_a_missing_used_file_is_told_at_its_path(tmp_path: Path) -> None:
    path = write(tmp_path, {"main.moe": 'use "a.moe" as a\nx = 1\n'})
    loaded, (diagnostic,) = load(path)
    assert loaded is not None
    assert diagnostic.code == "MOE0001"
    assert loaded.sources[path].slice(diagnostic.span) == '"a.moe"'
    assert loaded.imports == {}


def test_folders_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.moe").mkdir()
    os.mkfifo(tmp_path / "pipe.moe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.moe"))
        for name in ("folder.moe", "pipe.moe", "socket.moe"):
            assert refusal(tmp_path / name).code == "MOE0002"


def test_a_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zero.moe").symlink_to("/dev/zero")
    loaded, diagnostics = load(str(tmp_path / "zero.moe"), root=Path("/"))
    assert loaded is None
    assert codes(diagnostics) == ["MOE0002"]


def test_a_file_may_have_a_mebibyte_and_no_more(tmp_path: Path) -> None:
    path = write(tmp_path, {"main.moe": "#" * limits.MAX_FILE_BYTES})
    assert load(path)[1] == ()
    write(tmp_path, {"main.moe": "#" * (limits.MAX_FILE_BYTES + 1)})
    assert refusal(path).code == "MOE0003"
    assert codes(load_text("x.moe", "é" * limits.MAX_FILE_BYTES)[1]) == ["MOE0003"]


def test_a_file_that_is_not_utf8_is_told_with_line_and_byte(tmp_path: Path) -> None:
    (tmp_path / "main.moe").write_bytes(b"a = 1\n# caf\xe9\n")
    diagnostic = refusal(tmp_path / "main.moe")
    assert diagnostic.code == "MOE0004"
    assert "0xE9 in line 2" in diagnostic.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"main.moe": ""})
    Path(path).chmod(0)
    assert refusal(path).code == "MOE0005"


def test_a_loop_of_links_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.moe").symlink_to(tmp_path / "b.moe")
    (tmp_path / "b.moe").symlink_to(tmp_path / "a.moe")
    assert refusal(tmp_path / "a.moe").code in ("MOE0005", "MOE0002")


@pytest.mark.parametrize("name", ["a\0b.moe", "x" * 300 + ".moe"])
def test_an_impossible_name_is_told(tmp_path: Path, name: str) -> None:
    assert refusal(f"{tmp_path}/{name}").code in ("MOE0001", "MOE0005")


@pytest.mark.parametrize("path", ["/etc/a.moe", "C:/a.moe", r"lib\\a.moe", "~/a.moe", r"a\u{202E}.moe"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    assert codes(load_text("x.moe", f'use "{path}" as a')[1]) == ["MOE0006"]


def test_nothing_outside_the_project_is_used(tmp_path: Path) -> None:
    write(tmp_path, {"secret.moe": "x = 1\n", "project/main.moe": 'use "../secret.moe" as a\nuse "link.moe" as b\n'})
    (tmp_path / "project/link.moe").symlink_to(tmp_path / "secret.moe")
    loaded, diagnostics = load(str(tmp_path / "project/main.moe"))
    assert loaded is not None
    assert codes(diagnostics) == ["MOE0007", "MOE0007"]
    assert len(loaded.files) == 1


def test_the_project_begins_at_the_nearest_mark(tmp_path: Path) -> None:
    write(tmp_path, {"moec.root": "", "base.moe": "x = 1\n", "specs/main.moe": 'use "../base.moe" as base\n'})
    assert project_root(str(tmp_path / "specs/main.moe")) == tmp_path
    assert load(str(tmp_path / "specs/main.moe"))[1] == ()


def test_files_that_use_one_another_in_a_circle_are_told_once() -> None:
    others = {"b.moe": 'use "c.moe" as c', "c.moe": 'use "a.moe" as a'}
    loaded, (diagnostic,) = load_text("a.moe", 'use "b.moe" as b', others=others)
    assert loaded is not None
    assert diagnostic.code == "MOE0008"
    assert "`a.moe` → `b.moe` → `c.moe` → `a.moe`" in diagnostic.message
    assert [label.span.file for label in diagnostic.others] == ["a.moe", "b.moe"]
    assert loaded.imports == {("a.moe", "b.moe"): "b.moe", ("b.moe", "c.moe"): "c.moe"}


def test_a_file_that_uses_itself_by_another_way_is_a_circle(tmp_path: Path) -> None:
    path = write(tmp_path, {"main.moe": 'use "loop/main.moe" as me\n'})
    (tmp_path / "loop").symlink_to(tmp_path)
    loaded, diagnostics = load(path)
    assert loaded is not None
    assert codes(diagnostics) == ["MOE0008"]


def test_a_diamond_is_no_circle() -> None:
    others = {"b.moe": 'use "d.moe" as d', "c.moe": 'use "d.moe" as d', "d.moe": "x = 1"}
    loaded, diagnostics = load_text("a.moe", 'use "b.moe" as b\nuse "c.moe" as c', others=others)
    assert diagnostics == ()
    assert loaded is not None
    assert len(loaded.imports) == 4


def test_a_long_chain_of_files_is_fine_and_a_longer_one_is_told() -> None:
    def chain(length: int) -> list[str]:
        others = {f"f{i}.moe": f'use "f{i + 1}.moe" as n' for i in range(length - 1)} | {f"f{length - 1}.moe": "x = 1"}
        return codes(load_text("f0.moe", others["f0.moe"], others=others)[1])

    assert chain(limits.MAX_FILES) == []
    assert chain(limits.MAX_FILES + 1) == ["MOE0009"]


def test_a_file_must_say_what_it_is() -> None:
    assert refusal("/dev/zero").code == "MOE0010"
    assert codes(load_text("a.moe", 'use "b.txt" as b', others={"b.txt": ""})[1]) == ["MOE0010"]


def test_all_files_together_have_a_limit() -> None:
    others = {f"{name}.moe": "#" * limits.MAX_FILE_BYTES for name in "bc"}
    assert codes(load_text("a.moe", 'use "b.moe" as b\nuse "c.moe" as c', others=others)[1]) == ["MOE0011"]


def test_a_text_that_is_not_in_a_file_uses_the_disk_only_below_a_root(tmp_path: Path) -> None:
    write(tmp_path, {"base.moe": "x = 1\n"})
    name = str(tmp_path / "unsaved.moe")
    assert codes(load_text(name, 'use "base.moe" as base')[1]) == ["MOE0001"]
    assert load_text(name, 'use "base.moe" as base', root=tmp_path)[1] == ()
