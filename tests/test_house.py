"""The rules of the house: where imports go, what stays out of a process, how large things grow, what is not named."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("spec", "compiler", "runtime", "cli", "lsp")
FIELDS_TABLE = ROOT / "spec" / "fields"  # a table: it is as long as the language has fields
STDLIB = sys.stdlib_module_names
MAY_IMPORT = {
    "spec": {"lark", "yaml", "jsonschema", "moec.spec"},
    "compiler": {"moec.spec", "moec.compiler"},
    "runtime": {
        *("jax", "jaxlib", "flax", "optax", "orbax", "numpy", "moec.runtime"),
        *("grain", "tokenizers", "sentencepiece", "pyarrow", "tensorboardX", "rich"),
    },
    "cli": {"rich", "matplotlib", "yaml", "moec.spec", "moec.compiler", "moec.cli", "moec.lsp", "moec.docs"},
    "lsp": {"pygls", "lsprotocol", "moec.spec", "moec.compiler", "moec.lsp"},
}
MAY_LOAD_AT_ONCE = {
    "runtime": {"jax", "jaxlib", "flax", "optax", "orbax", "numpy", "moec.runtime"},
    "cli": {"moec.spec", "moec.cli"},
}
HEAVY = ("jax", "jaxlib", "flax", "optax", "orbax", "grain", "numpy", "matplotlib", "rich", "moec.runtime")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def tracked_files() -> list[Path]:
    """Every file that belongs to the project, committed or about to be."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files belong to it")
    listing = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def python_files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py")) if "golden" not in path.parts]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """The modules that imports below `tree` name, wherever they stand; those for type checkers are left out."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.module or ""
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def imported_at_once(tree: ast.Module) -> Iterator[str]:
    """The modules that are loaded when the file is."""
    for statement in tree.body:
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from imported_names(statement)


def strangers(names: Iterator[str], allowed: set[str]) -> set[str]:
    """Those of `names` that are neither the standard library's nor inside one of the `allowed` packages."""
    return {
        name
        for name in names
        if name.partition(".")[0] not in STDLIB
        and not any(name == package or name.startswith(f"{package}.") for package in allowed)
    }


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(room)
        for name in strangers(imported_names(parsed(path)), MAY_IMPORT[room])
    }
    assert not found


@pytest.mark.parametrize("room", MAY_LOAD_AT_ONCE)
def test_what_not_every_machine_has_is_imported_where_it_is_used(room: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(room)
        for name in strangers(imported_at_once(parsed(path)), MAY_LOAD_AT_ONCE[room])
        if not (room == "cli" and name.startswith("moec.compiler"))
    }
    assert not found


def test_the_check_for_imports_sees_a_forbidden_one() -> None:
    tree = ast.parse("import ast\nif TYPE_CHECKING:\n    import flax\ndef f():\n    from jax import numpy\n")
    assert strangers(imported_names(tree), {"lark"}) == {"jax"}
    assert strangers(imported_at_once(tree), {"lark"}) == set()


@pytest.mark.parametrize("arguments", [("check", "examples/quickstart.moe"), ("plan", "examples/quickstart.moe")])
def test_a_command_that_only_looks_loads_no_jax_and_no_numpy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom moec.cli.main import main\n"
        f"status = main({arguments!r})\n"
        f"print('LOADED', status, *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED 0"


def test_help_loads_neither_the_parser_nor_the_compiler() -> None:
    code = (
        "import sys\nfrom moec.cli.main import main\nmain(['--help'])\n"
        "print('LOADED', *[n for n in sys.modules if n.partition('.')[0] in ('lark', 'yaml', 'jax')"
        " or n.startswith(('moec.compiler', 'moec.runtime', 'moec.spec.'))])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_files_are_short_enough_to_read() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(*ROOMS, "tests")
        if not path.is_relative_to(FIELDS_TABLE)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short_enough_to_read() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in python_files(*ROOMS, "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_file_names_say_what_is_inside() -> None:
    assert [path for path in python_files(*ROOMS, "tests") if path.stem in VAGUE_NAMES] == []


def test_no_file_names_a_package_registry_or_a_place_on_one_machine() -> None:
    registries = [f"{first}.{second}" for first, second in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))]
    place = re.compile(r"(?<![\w.}$)])/(?:work|root|home|tmp|opt|mnt|Users)/\w")
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        names = [registry for registry in registries if registry in text] + place.findall(text)
        found += [f"{path.relative_to(ROOT)}: {name}" for name in names]
    assert found == []


def test_every_package_is_installed_with_its_types() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    folders = {path.parent for room in (*ROOMS, "docs") for path in (ROOT / room).rglob("__init__.py")}
    assert listed == {"moec." + ".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"moec.docs.errors"}
    rooms = {folder.relative_to(ROOT).parts[0] for folder in folders} - {"docs"}
    assert [room for room in sorted(rooms) if not (ROOT / room / "py.typed").exists()] == []


def test_the_version_stands_in_one_place_and_is_the_package_s() -> None:
    from moec.spec import VERSION

    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == VERSION
    written = [path for path in python_files(*ROOMS) if f'"{VERSION}"' in path.read_text(encoding="utf-8")]
    assert written == [ROOT / "spec" / "__init__.py"]


def test_constraints_pin_versions_and_nothing_else() -> None:
    pin = re.compile(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.!+]+( ; python_version (<|>=) \"3\.\d+\")?|#.*")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not pin.fullmatch(line)] == []


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8") in readme


def test_links_between_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
    pages = [path for path in tracked_files() if path.suffix == ".md" and "golden" not in path.parts]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in link.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
