"""How quick the language server is on a spec of 1,000 lines: `python benchmarks/language_server.py [--edits 500]`.

Starts `moec lsp`, opens the spec, and types: each edit is one keystroke somewhere in the file, sent as an editor sends
it, with a completion at the cursor; then comes the wait for the diagnostics of just that version, and a hover. Prints
percentiles, the time to start, and the most memory that the server held. Same seed, same edits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

LIMITS = {"diagnostics p95": 150.0, "completion p95": 30.0, "hover p95": 30.0, "start": 1500.0, "memory": 120.0}
URI = "file:///benchmark/large.moe"

GROUP = """
/// Model number {i}.
model m{i} {{
  vocab_size     = 32Ki
  seq_len        = 8Ki
  n_layers       = 12
  d_model        = 128 * heads
  tie_embeddings = true
  attention {{ n_heads = heads, n_kv_heads = heads, d_head = 128, qk_norm = true, rope_theta = 500_000 }}
  ffn       {{ d_ff = 4 * d_model, activation = swiglu, norm = hybrid }}
  experts   {{ every = 2, n_experts = 128, top_k = 2, d_ff = 4 * d_model, capacity_factor = 1.25, balance_loss = 0.01 }}
}}

mesh v{i} {{
  hardware = tpu_v5p
  topology = 8x8x8
  axes {{ expert = 16, fsdp = 16, data = auto }}  # mesh {i}
}}

budget w{i} {{
  law              = chinchilla
  count            = active
  tokens_per_param = 20
}}

run r{i} {{
  model  = m{i}
  mesh   = v{i}
  budget = w{i}
  batch {{ tokens = 8Mi }}
  optimizer {{ kind = adamw, peak_lr = 0.01, weight_decay = 1e-4, warmup_steps = 500, clip_norm = 1.0 }}
  remat {{ policy = save_dots }}
  checkpoint {{ every_steps = 5000, keep = 3 }}
  assert plan.hbm_per_device < hardware.hbm : "it must fit"
}}
"""


def large_spec(lines: int) -> str:
    """A spec of at least `lines` lines: models, meshes, budgets and runs, all of which lean on one `let`."""
    text, number = "edition = 2026\n\nlet heads = 12\n", 0
    while text.count("\n") < lines:
        number += 1
        text += GROUP.format(i=number)
    return text


class Edit(NamedTuple):
    """Replaces `removed` characters at `offset` by `text`."""

    offset: int
    removed: int
    text: str


def keystrokes(text: str, dice: random.Random) -> Iterator[Edit]:
    """A person at work: goes somewhere, types or deletes a few characters one by one, and takes them back."""
    while True:
        lines = [at for at in range(len(text)) if text[at] == "\n" and at > 20]
        if dice.random() < 0.5:
            at = dice.choice(lines)
            word = dice.choice(("\n  window = 4Ki", "\n  seed = 1", " # why", "\n  norm { eps = 1e-6 }", "\n"))
        else:
            at = dice.choice([place for place in range(20, len(text)) if text[place].isdigit()])
            word = dice.choice(("1", "0", "x", "Ki", " * 2", "d_model"))
        for shift, char in enumerate(word):
            yield Edit(at + shift, 0, char)
        for shift in reversed(range(len(word))):
            yield Edit(at + shift, 1, "")


@dataclass
class Timings:
    """Milliseconds of each kind of answer."""

    diagnostics: list[float] = field(default_factory=list)
    completion: list[float] = field(default_factory=list)
    hover: list[float] = field(default_factory=list)


class Editor:
    """Speaks the protocol with the server over its standard input and output."""

    def __init__(self) -> None:
        command = (sys.executable, "-m", "moec.cli.main", "lsp")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.number = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """The answer to a request."""
        self.number += 1
        self._send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        return self._wait(lambda message: message.get("id") == self.number and "method" not in message)

    def wait_for_diagnostics(self, version: int) -> dict[str, Any]:
        """The diagnostics of `version` of the text."""
        answer: dict[str, Any] = self._wait(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics" and message["params"]["version"] == version
            )
        )
        return answer

    def memory_mib(self) -> float:
        """The most that the server's process has held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            self.answers.put(json.loads(stream.read(length)))

    def _wait(self, is_meant: Any) -> Any:
        while True:
            message = self.answers.get(timeout=60)
            if is_meant(message):
                return message
            if "id" in message and "method" in message:
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})


def position(text: str, offset: int) -> dict[str, int]:
    line_start = text.rfind("\n", 0, offset) + 1
    return {"line": text.count("\n", 0, offset), "character": offset - line_start}


def type_edits(editor: Editor, text: str, count: int) -> Timings:
    """Types `count` keystrokes and times the answers to each."""
    dice, timings = random.Random(2026), Timings()
    edits = keystrokes(text, dice)
    for version in range(2, count + 2):
        edit = next(edits)
        removed = {"start": position(text, edit.offset), "end": position(text, edit.offset + edit.removed)}
        text = text[: edit.offset] + edit.text + text[edit.offset + edit.removed :]
        cursor = position(text, edit.offset + len(edit.text))
        document = {"uri": URI, "version": version}
        start = time.perf_counter()
        changes = [{"range": removed, "text": edit.text}]
        editor.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
        place = {"textDocument": {"uri": URI}, "position": cursor}
        timings.completion.append(timed(editor, "textDocument/completion", place))
        editor.wait_for_diagnostics(version)
        timings.diagnostics.append((time.perf_counter() - start) * 1000)
        timings.hover.append(timed(editor, "textDocument/hover", place))
    return timings


def timed(editor: Editor, method: str, params: dict[str, Any]) -> float:
    start = time.perf_counter()
    editor.ask(method, params)
    return (time.perf_counter() - start) * 1000


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def measure(lines: int, edits: int) -> dict[str, float]:
    """All results by name: milliseconds, and MiB of memory."""
    text, start = large_spec(lines), time.perf_counter()
    editor = Editor()
    editor.ask("initialize", {"processId": os.getpid(), "rootUri": None, "capabilities": {}})
    results = {"start": (time.perf_counter() - start) * 1000}
    editor.notify("initialized", {})
    document = {"uri": URI, "languageId": "moe", "version": 1, "text": text}
    start = time.perf_counter()
    editor.notify("textDocument/didOpen", {"textDocument": document})
    editor.wait_for_diagnostics(1)
    results["first check"] = (time.perf_counter() - start) * 1000
    timings = type_edits(editor, text, edits)
    for name in ("diagnostics", "completion", "hover"):
        values = getattr(timings, name)
        results |= {f"{name} p50": percentile(values, 0.5), f"{name} p95": percentile(values, 0.95)}
        results[f"{name} max"] = max(values)
    results["memory"] = editor.memory_mib()
    editor.ask("shutdown", {})
    editor.notify("exit", {})
    editor.process.wait(timeout=20)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--lines", type=int, default=1000)
    arguments = parser.parse_args()
    results = measure(arguments.lines, arguments.edits)
    print(f"{arguments.edits} edits of a spec of {arguments.lines} lines, Python {platform.python_version()}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} at the end\n")
    for name, value in results.items():
        unit = "MiB" if name == "memory" else "ms"
        limit = LIMITS.get(name)
        verdict = f"  limit {limit:g}: {'kept' if value <= limit else 'BROKEN'}" if limit else ""
        print(f"{name:<18}{value:>9.1f} {unit}{verdict}")
    return int(any(results[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
