"""The pages of `docs/errors/`: each code has one; its failing example gives the code and its mended one does not."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from moec.spec.codes.registry import CODES, MODULES
from moec.spec.loader import load_text

PAGES = Path(__file__).parents[2] / "docs" / "errors"
FENCE = re.compile(r"^```moe(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

# Codes whose examples are no texts: files in a special state, or texts too long for a page. Where they are tested:
TESTED_ELSEWHERE = {
    **dict.fromkeys(("MOE0002", "MOE0003", "MOE0004", "MOE0005", "MOE0007", "MOE0009", "MOE0011"), "test_loader.py"),
    **dict.fromkeys(("MOE1034", "MOE1035", "MOE1036", "MOE1039"), "test_hostile_text.py"),
    "MOE1108": "test_yaml.py",
    "MOE2026": "test_reader.py",
    "MOE7104": "../compiler/test_checks_of_hardware.py",
}


def examples(code: str, heading: str) -> dict[str, str]:
    """The texts under `heading` on the page of `code`, by file name; the first is `main.moe` unless it is titled."""
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    _, _, rest = page.partition(f"\n## {heading}\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return {match["name"] or "main.moe": match["text"] for match in FENCE.finditer(section)}


def told(files: dict[str, str]) -> set[str]:
    """The codes of all diagnostics of the first of `files`, from loading to the last check."""
    main = next(iter(files))
    loaded, diagnostics = load_text(main, files[main], others=files)
    codes = {diagnostic.code for diagnostic in diagnostics}
    if loaded is not None and importlib.util.find_spec("moec.compiler.pipeline"):
        from moec.compiler.pipeline import check

        codes |= {diagnostic.code for diagnostic in check(loaded)}
    return codes


def can_be_checked(code: str) -> bool:
    return code < "MOE2" or importlib.util.find_spec("moec.compiler.pipeline") is not None


SHOWN = sorted(code for code in CODES if code not in TESTED_ELSEWHERE and can_be_checked(code))


def test_each_code_has_a_page_and_each_page_a_code() -> None:
    assert {path.stem for path in PAGES.glob("MOE*.md")} == set(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_page_has_title_reason_and_both_examples(code: str) -> None:
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}: {CODES[code].title}\n")
    for heading in ("Why", "Fails", "Fixed"):
        assert f"\n## {heading}\n" in page


@pytest.mark.parametrize("code", SHOWN)
def test_the_failing_example_gives_its_code(code: str) -> None:
    assert code in told(examples(code, "Fails"))


@pytest.mark.parametrize("code", SHOWN)
def test_the_mended_example_does_not(code: str) -> None:
    assert code not in told(examples(code, "Fixed"))


@pytest.mark.parametrize("code", [code for code in SHOWN if code < "MOE2"])
def test_what_cannot_be_read_is_mended_to_what_can_be_read(code: str) -> None:
    fixed = examples(code, "Fixed")
    main = next(iter(fixed))
    assert load_text(main, fixed[main], others=fixed)[1] == ()


@pytest.mark.parametrize(("code", "file"), sorted(TESTED_ELSEWHERE.items()))
def test_a_code_without_example_is_tested_elsewhere(code: str, file: str) -> None:
    assert code in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_no_code_is_given_twice_and_each_is_constructed_in_its_module() -> None:
    listed = [info.code for module in MODULES for info in module.CODES]
    assert len(listed) == len(set(listed))
    for module in MODULES:
        assert module.__file__ is not None
        text = Path(module.__file__).read_text(encoding="utf-8")
        constructed = re.findall(r'Diagnostic\(\s*"(MOE\d{4})",\s*"(\w+)"', text)
        assert set(constructed) == {(info.code, info.severity) for info in module.CODES}
