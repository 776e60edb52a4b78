"""A headless Chromium, driven over the W3C WebDriver protocol: what the tests of a page need of it and no more."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,950")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the name that the protocol gives to an element's id
PATIENCE_SECONDS = 30.0

CONTROL, SHIFT, ENTER, ESCAPE, END, F1, F2 = "\ue009", "\ue008", "\ue007", "\ue00c", "\ue010", "\ue031", "\ue032"

IS_HERE = shutil.which("chromedriver") is not None


class Browser:
    """One window."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        chrome = {"goog:chromeOptions": {"args": list(OPTIONS)}}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": chrome}})["sessionId"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.driver + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response)["value"]

    def on_page(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.call(method, f"/session/{self.session}{path}", body)

    def open(self, address: str) -> None:
        self.on_page("POST", "/url", {"url": address})

    def ask(self, script: str) -> Any:
        """What the JavaScript `script` returns on the page."""
        return self.on_page("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, selector: str) -> str:
        return str(self.ask(f"return document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def click(self, selector: str) -> None:
        self.on_page("POST", f"/element/{self._element(selector)}/click")

    def type(self, selector: str, keys: str) -> None:
        self.on_page("POST", f"/element/{self._element(selector)}/value", {"text": keys})

    def press(self, *keys: str) -> None:
        """`keys` at once, wherever the cursor is: `press(CONTROL, "p")`."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        self._act("key", [*down, *({"type": "keyUp", "value": key} for key in reversed(keys))])

    def write(self, text: str) -> None:
        """The letters of `text` one after another, wherever the cursor is."""
        self._act("key", [{"type": kind, "value": one} for one in text for kind in ("keyDown", "keyUp")])

    def point(self, x: float, y: float, *, click: bool = False) -> None:
        pressed = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        move = {"type": "pointerMove", "duration": 50, "x": round(x), "y": round(y)}
        self._act("pointer", [move, *(pressed if click else ())])

    def _act(self, device: str, actions: list[dict[str, Any]]) -> None:
        self.on_page("POST", "/actions", {"actions": [{"type": device, "id": device, "actions": actions}]})

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.1)

    def take_picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.on_page("GET", "/screenshot")))

    def _element(self, selector: str) -> str:
        return str(self.on_page("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, until the block ends."""
    port = free_port()
    process = subprocess.Popen(("chromedriver", f"--port={port}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        opened = Browser(f"http://127.0.0.1:{port}")
        try:
            yield opened
        finally:
            opened.on_page("DELETE", "")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, "chromedriver does not listen"
            time.sleep(0.1)
