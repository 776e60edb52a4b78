"""A language client over standard input and output, as small as a test of a server needs."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

PATIENCE_SECONDS = 60.0


class Client:
    """Speaks to the server `process`. What the server asks is answered with null, what it tells is kept."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.told: list[dict[str, Any]] = []
        self._arrived: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._last = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def ask(self, method: str, params: object) -> Any:
        self._last += 1
        mine = self._last
        self._send({"id": mine, "method": method, "params": params})
        answer = self._until(lambda message: message.get("id") == mine and "method" not in message)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def wait_for(self, method: str, condition: Callable[[Any], bool]) -> Any:
        """The params of the first message `method` that keeps `condition`, come already or yet to come."""
        for message in self.told:
            if message["method"] == method and condition(message["params"]):
                return message["params"]
        return self._until(lambda one: one.get("method") == method and condition(one["params"]))["params"]

    def _until(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                message = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise AssertionError("the server does not answer") from None
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": None})
            elif "method" in message:
                self.told.append(message)
            if is_wanted(message):
                return message

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self.process.stdin.flush()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.removeprefix(b"Content-Length: "))
            while stream.readline().strip():
                continue
            self._arrived.put(json.loads(stream.read(length)))


@contextmanager
def client_of(command: Sequence[str], root: Path) -> Iterator[Client]:
    """A client of the server that `command` starts, with the folder `root` open, until the block ends."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client = Client(process)
        folders = [{"uri": root.as_uri(), "name": root.name}]
        text = {"completion": {"completionItem": {"snippetSupport": True}}, "hover": {"contentFormat": ["markdown"]}}
        capabilities = {"textDocument": {**text, "publishDiagnostics": {}}}
        start = {"processId": None, "rootUri": root.as_uri(), "workspaceFolders": folders, "capabilities": capabilities}
        client.ask("initialize", start)
        client.tell("initialized", {})
        yield client
        client.ask("shutdown", None)
        client.tell("exit", None)
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.communicate()
