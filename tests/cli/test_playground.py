"""The playground: what it answers, and whom it refuses. The page itself is tried in `tests/editors`."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from moec.cli.playground.answer import answer
from moec.cli.playground.compiling import Compiling
from moec.cli.playground.server import MAX_BODY_BYTES, MAX_TEXT_BYTES, PAGES, Opened, Server

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.moe"))
TINY = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
WRONG = TINY.replace("n_heads = 4", "n_heads = 3")


# ---- answers ----


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_has_an_answer_with_its_plan_and_its_program(path: Path) -> None:
    found = answer("spec.moe", path.read_text(encoding="utf-8"), None)
    assert [one for one in found["diagnostics"] if one["severity"] == "error"] == []
    assert found["plan"]["run"] == found["runs"][0]
    compile(found["plan"]["program"], "program.py", "exec")
    assert json.loads(json.dumps(found))["plan"]["program"] == found["plan"]["program"]


def test_the_run_that_is_asked_for_is_shown() -> None:
    assert answer("spec.moe", TINY, "with_moe")["plan"]["run"] == "with_moe"
    assert answer("spec.moe", TINY, "no_such_run")["plan"]["run"] == "baseline"


def test_mistakes_are_told_and_nothing_is_planned() -> None:
    found = answer("spec.moe", WRONG, None)
    assert found["plan"] is None
    assert "MOE3102" in {one["code"] for one in found["diagnostics"]}
    assert found["runs"] == ["baseline", "with_moe"]


def test_a_shape_on_one_device_is_the_whole_over_the_axes_that_cut_it() -> None:
    text = (ROOT / "examples" / "switch_base.moe").read_text(encoding="utf-8")
    rows = {row["name"]: row for row in answer("spec.moe", text, None)["plan"]["weights"]}
    assert rows["Experts.w_gate"]["dims"] == "[E/expert, D/fsdp, F/model]"
    assert rows["Experts.w_gate"]["shape"] == [128, 1536, 6144]
    assert rows["Experts.w_gate"]["per_device"] == [8, 96, 6144]
    assert rows["Experts.w_gate"]["cut"] == [True, True, False]


def test_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base.moe").write_text("edition = 2026\nlet secret = 7\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = answer("spec.moe", 'edition = 2026\nuse "base.moe" as base\n', None)
    assert "MOE0001" in {one["code"] for one in found["diagnostics"]}


# ---- the process that compiles ----


def test_a_process_answers_more_than_once_and_reads_no_file_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chip.yaml").write_text("name: secret\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Compiling() as compiling:
        assert compiling.ask("spec.moe", TINY, None)["runs"] == ["baseline", "with_moe"]
        for path, why in (("chip.yaml", "does not exist"), (f"../{tmp_path.name}/chip.yaml", "outside the project")):
            text = TINY.replace("hardware = cpu", f'hardware = "{path}"')
            (told,) = compiling.ask("spec.moe", text, None)["diagnostics"]
            assert why in told["message"]


def test_a_question_that_takes_too_long_is_ended_and_the_next_one_is_answered() -> None:
    with Compiling(max_seconds=0.001) as compiling:
        assert "did not answer" in compiling.ask("spec.moe", TINY, None)["fault"]
        compiling._max_seconds = 60.0
        assert compiling.ask("spec.moe", TINY, None)["plan"]["run"] == "baseline"


# ---- the server ----


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Compiling() as compiling, Server(0, Opened("tiny.moe", TINY), compiling) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


Send = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def send(server: Server) -> Send:
    """`send(method, path, body, **headers)`: the status, headers and content of the answer."""

    def request(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, dict(response.headers), content

    return request


def question(**more: Any) -> bytes:
    return json.dumps({"text": TINY, **more}).encode()


def test_the_server_listens_on_this_machine_only(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_the_page_and_all_that_it_names_is_there(send: Send) -> None:
    folder = resources.files("moec.cli.playground").joinpath("page")
    assert {name for name, _ in PAGES.values()} == {entry.name for entry in folder.iterdir()}
    for path in PAGES:
        status, headers, content = send("GET", path)
        assert status == 200
        assert content
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert re.findall(rb"https?://", send("GET", "/")[2]) == []


def test_the_page_begins_with_the_spec_that_was_given(send: Send) -> None:
    assert json.loads(send("GET", "/spec")[2]) == {"name": "tiny.moe", "text": TINY}


def test_a_question_is_answered_in_both_forms(send: Send) -> None:
    status, _, content = send("POST", "/answer", question(run="with_moe"), Content_Type="application/json")
    assert status == 200
    assert json.loads(content)["plan"]["run"] == "with_moe"
    yaml = json.dumps({"text": "edition: 2026\nmodle: {a: {}}\n", "form": "yaml"}).encode()
    told = json.loads(send("POST", "/answer", yaml, Content_Type="application/json")[2])["diagnostics"]
    assert told[0]["file"] == "spec.moe.yaml"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Length": "many"}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": str(MAX_BODY_BYTES + 1)}, 413),
    ],
)
def test_a_question_from_elsewhere_or_of_another_kind_is_refused(
    send: Send, headers: dict[str, str], status: int
) -> None:
    assert send("POST", "/answer", question(), **{"Content_Type": "application/json", **headers})[0] == status


def test_the_text_of_the_user_is_given_to_its_own_page_only(send: Send, server: Server) -> None:
    assert send("GET", "/spec", Host="evil.example")[0] == 403
    assert send("GET", "/spec", Origin="http://evil.example")[0] == 403
    assert send("GET", "/spec", Host=f"localhost:{server.server_port}")[0] == 200
    assert "Access-Control-Allow-Origin" not in send("GET", "/spec")[1]


@pytest.mark.parametrize("path", ["/..%2fserver.py", "/../server.py", "//etc/passwd", "/page/page.js", "/answer"])
def test_nothing_but_the_page_is_given(send: Send, path: str) -> None:
    assert send("GET", path)[0] == 404


@pytest.mark.parametrize("body", [b"", b"[]", b'{"text": 3}', b"[" * 100_000, b"\xff"])
def test_what_is_no_question_is_refused(send: Send, body: bytes) -> None:
    assert send("POST", "/answer", body, Content_Type="application/json")[0] == 400


def test_a_text_that_is_too_long_is_refused(send: Send) -> None:
    body = question(text="#" * (MAX_TEXT_BYTES + 1))
    assert send("POST", "/answer", body, Content_Type="application/json")[0] == 413


# ---- the command ----


def test_a_file_that_is_not_there_is_misuse(moec: Any) -> None:
    assert moec("playground", "absent.moe", "--no-browser").status == 2


def test_a_port_that_is_taken_is_misuse(moec: Any, server: Server) -> None:
    called = moec("playground", "--no-browser", "--port", str(server.server_port))
    assert called.status == 2
    assert called.err


INTERRUPTIBLE = """
import signal
from moec.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
raise SystemExit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="sends the signal that Ctrl-C sends")
def test_it_serves_until_it_is_interrupted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tiny.moe").write_text(TINY, encoding="utf-8")
    command = (sys.executable, "-c", INTERRUPTIBLE, "playground", "tiny.moe", "--no-browser", "--port", "0")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, start_new_session=True, **pipes
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert found is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
            connection.request("POST", "/answer", question(), {"Content-Type": "application/json"})
            assert json.load(connection.getresponse())["plan"]["run"] == "baseline"
            connection.close()
            os.killpg(process.pid, signal.SIGINT)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, told) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.moe"]
