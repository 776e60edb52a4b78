"""VS Code in the browser (the npm package `code-server`) with the extension in it, over a folder of specs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from browser import CONTROL, ENTER, ESCAPE, F1, PATIENCE_SECONDS, Browser, browser, free_port

COMMAND: Final = os.environ.get("CODE_SERVER") or shutil.which("code-server")
VSIX: Final = Path(__file__).parents[2] / "editors" / "vscode" / "moec.vsix"
SETTINGS: Final = {
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "extensions.autoUpdate": False,
    "files.autoSave": "off",
    "git.enabled": False,
    "security.workspace.trust.banner": "never",
    "security.workspace.trust.startupPrompt": "never",
    "telemetry.telemetryLevel": "off",
    "window.commandCenter": False,
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}

ROWS: Final = (
    "[...document.querySelectorAll('.editor-group-container.active .view-line')]"
    ".sort((a, b) => a.offsetTop - b.offsetTop)"
)
PLACE: Final = """
for (const row of %s) {
  const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const start = walker.currentNode.data.indexOf(%s);
    if (start < 0) continue;
    const range = document.createRange();
    range.setStart(walker.currentNode, start);
    range.setEnd(walker.currentNode, start + %d);
    const box = range.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  }
}
"""


class Workbench:
    """One window of VS Code. What one sees in it is asked of the page."""

    def __init__(self, page: Browser) -> None:
        self.page = page

    def run(self, command: str) -> None:
        """Picks `command` from the command palette."""
        self._pick(lambda: self.page.press(F1), command)

    def open(self, name: str) -> None:
        """Opens a file of the folder and puts the cursor into it."""
        self._pick(lambda: self.page.press(CONTROL, "p"), name)
        self.page.wait_for(lambda: self.tab() == name, f"the tab of {name}")
        self.page.wait_for(lambda: bool(self.lines()), f"the text of {name}")

    def go_to(self, line: int, column: int) -> None:
        self.page.press(CONTROL, "g")
        self._wait_for_box(shown=True)
        self.page.write(f"{line}:{column}")
        self.page.press(ENTER)
        self._wait_for_box(shown=False)
        self.page.wait_for(lambda: f"Ln {line}, Col {column}" in self.text_of(".statusbar"), "the cursor")

    def lines(self) -> list[str]:
        """The lines in sight, with what stands between them."""
        return [
            str(row).replace("\u00a0", " ").rstrip() for row in self.page.ask(f"return {ROWS}.map(r => r.textContent)")
        ]

    def line(self, beginning: str) -> str:
        """The first line in sight that begins like this, "" where there is none."""
        return next((line for line in self.lines() if line.strip().startswith(beginning)), "")

    def tab(self) -> str:
        return str(
            self.page.ask(
                "return document.querySelector('.tab.active .monaco-icon-label-container')?.textContent ?? ''"
            )
        )

    def text_of(self, selector: str) -> str:
        """What the elements in sight say, one a line."""
        seen = f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.getClientRects().length)"
        return str(self.page.ask(f"return {seen}.map(e => e.innerText).join('\\n')")).replace("\u00a0", " ")

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.wait_for(lambda: text in self.text_of(selector), f"{text!r} in {selector}")

    def wait_for_line(self, line: str) -> None:
        self.page.wait_for(lambda: line in self.lines(), f"the line {line!r}")

    def point_at(self, word: str, *, click: bool = False) -> None:
        """Moves the mouse over the first `word` in sight."""
        found = self.page.ask(PLACE % (ROWS, json.dumps(word), len(word)))
        assert found, f"{word!r} is not in sight"
        self.page.point(*found, click=click)

    def wait_for_hover(self, word: str, text: str) -> None:
        """Rests the mouse on `word` until `text` is shown there; what the page does meanwhile may take a hover away."""

        def shown() -> bool:
            self.page.point(1, 1)
            self.point_at(word)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                if text in self.text_of(".monaco-hover"):
                    return True
                time.sleep(0.1)
            return False

        self.page.wait_for(shown, f"{text!r} over {word!r}")

    def colour(self, word: str) -> str:
        """The colour of the first `word` in sight that is coloured as one."""
        spans = f"{ROWS}.flatMap(row => [...row.querySelectorAll('span[class*=mtk]')])"
        found = f"{spans}.find(span => span.textContent.trim() === {json.dumps(word)})"
        return str(self.page.ask(f"const e = {found}; return e ? getComputedStyle(e).color : ''"))

    def _pick(self, ask: Any, wanted: str) -> None:
        row = ".quick-input-widget .monaco-list-row.focused .label-name"
        ask()
        self._wait_for_box(shown=True)
        self.page.write(wanted)
        self.page.wait_for(lambda: self.text_of(row).split("\n")[0] == wanted, f"{wanted!r} in the list")
        self.page.press(ENTER)

    def _wait_for_box(self, *, shown: bool) -> None:
        visible = "document.querySelector('.quick-input-widget')?.getClientRects().length > 0"
        self.page.wait_for(lambda: bool(self.page.ask(f"return {visible}")) == shown, "the box above the editor")

    def leave(self) -> None:
        """Closes what lies above the text."""
        self.page.press(ESCAPE)


@contextmanager
def workbench(folder: Path, home: Path, moec: list[str], *, trusted: bool = True) -> Iterator[Workbench]:
    """VS Code over `folder` with the extension, which calls moec as `moec`, until the block ends."""
    assert COMMAND is not None
    user = {**SETTINGS, "security.workspace.trust.enabled": not trusted}
    for place, settings in (("User", user), ("Machine", {"moec.command": moec})):
        (home / place).mkdir(parents=True)
        (home / place / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    port = free_port()
    paths = (
        "--user-data-dir",
        str(home),
        "--extensions-dir",
        str(home / "extensions"),
        "--config",
        str(home / "config"),
    )
    (home / "config").write_text("auth: none\n", encoding="utf-8")
    subprocess.run((COMMAND, *paths, "--install-extension", str(VSIX)), capture_output=True, check=True, timeout=120)
    quiet = ("--disable-telemetry", "--disable-update-check", *(("--disable-workspace-trust",) if trusted else ()))
    command = (COMMAND, *paths, *quiet, "--auth", "none", "--bind-addr", f"127.0.0.1:{port}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        with browser() as page:
            page.open(f"http://127.0.0.1:{port}/?folder={folder}")
            opened = Workbench(page)
            opened.wait_for_text(".explorer-viewlet", ".moe")
            yield opened
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _wait_for(address: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, "code-server does not answer"
            time.sleep(0.2)
