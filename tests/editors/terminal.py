"""A program in a real terminal (tmux): what is typed into it, and what its screen shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COLUMNS, ROWS = 138, 36
PATIENCE_SECONDS = 30.0
IS_HERE = shutil.which("tmux") is not None


class Terminal:
    """One terminal, on a server of its own at `socket`."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def call(self, *words: str, environment: dict[str, str] | None = None) -> str:
        command = ("tmux", "-f", "/dev/null", "-S", str(self.socket), *words)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def press(self, *keys: str) -> None:
        """Keys as tmux names them (`Escape`, `C-w`), or words."""
        self.call("send-keys", *keys)

    def write(self, text: str) -> None:
        self.call("send-keys", "-l", text)

    def screen(self) -> str:
        return self.call("capture-pane", "-p")

    def coloured_screen(self) -> str:
        """The screen with its escapes, every line as long as the terminal is wide."""
        return self.call("capture-pane", "-e", "-N", "-p")

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text in self.screen(), f"{text!r} on the screen")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}; the screen:\n{self.screen()}"
            time.sleep(0.1)


@contextmanager
def terminal(command: str, home: Path, **environment: str) -> Iterator[Terminal]:
    """A terminal in which `command` runs, with `home` for all that it keeps, until the block ends."""
    opened = Terminal(home / "terminal")
    places = {name: str(home) for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    places["XDG_CONFIG_HOME"] = str(home / "config")
    colours = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    start = ("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), command)
    opened.call(*start, environment={**os.environ, **places, **colours, **environment})
    try:
        opened.call("set", "-g", "status", "off")
        yield opened
    finally:
        subprocess.run(("tmux", "-S", str(opened.socket), "kill-server"), capture_output=True, check=False)
