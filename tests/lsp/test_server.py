"""The whole server over standard input and output, as VS Code and Neovim speak with it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_lsp
from desk import BASE, ROOT
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities, make_test_lsp_client

SERVER = [sys.executable, "-m", "moec.cli.main", "lsp"]
NEOVIMS = ("neovim@v0.11.0", "neovim@v0.7.0")
EDITORS = ("visual_studio_code", *(pytest.param(neovim, marks=pytest.mark.slow) for neovim in NEOVIMS))
WAIT_SECONDS = 20


def make_editor() -> LanguageClient:
    """A client that answers, too, what it is asked by those who support it."""
    client = make_test_lsp_client()
    for name in (types.WORKSPACE_CODE_LENS_REFRESH, types.WORKSPACE_INLAY_HINT_REFRESH):
        client.feature(name)(take_note)
    client.feature(types.CLIENT_REGISTER_CAPABILITY)(take_note_of_offers)
    return client


def take_note_of_offers(client: LanguageClient, params: types.RegistrationParams) -> None:
    """Keeps what the server offers after the start."""
    client.offers = {one.method: one.register_options for one in params.registrations}  # type: ignore[attr-defined]


def take_note(params: types.RegistrationParams | None) -> None:
    """The answer to what asks for nothing."""


@pytest_lsp.fixture(params=EDITORS, config=ClientServerConfig(SERVER, make_editor))
async def client(
    request: pytest.FixtureRequest, lsp_client: LanguageClient, tmp_path: Path
) -> AsyncGenerator[None, None]:
    """An editor with the folder of the test open."""
    (tmp_path / "moec.root").touch()
    params = types.InitializeParams(
        capabilities=client_capabilities(request.param),
        workspace_folders=[types.WorkspaceFolder(tmp_path.as_uri(), "folder")],
    )
    answer = await lsp_client.initialize_session(params)
    lsp_client.promised = answer.capabilities  # type: ignore[attr-defined]
    yield
    await lsp_client.shutdown_session()


def opened(client: LanguageClient, path: Path, text: str) -> types.TextDocumentIdentifier:
    """Opens `text` as the file at `path`, which need not exist."""
    language = "yaml" if path.suffix == ".yaml" else "moe"
    item = types.TextDocumentItem(path.as_uri(), language, 1, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    return types.TextDocumentIdentifier(item.uri)


def edited(client: LanguageClient, path: Path, version: int, *changes: types.TextDocumentContentChangeEvent) -> None:
    document = types.VersionedTextDocumentIdentifier(version, path.as_uri())
    client.text_document_did_change(types.DidChangeTextDocumentParams(document, list(changes)))


async def codes(client: LanguageClient, path: Path, wanted: set[str]) -> list[types.Diagnostic]:
    """The diagnostics of the file at `path`, once their codes are `wanted`."""
    async with asyncio.timeout(WAIT_SECONDS):
        while {one.code for one in client.diagnostics.get(path.as_uri(), UNTOLD)} != wanted:
            await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    return list(client.diagnostics[path.as_uri()])


UNTOLD = [types.Diagnostic(types.Range(types.Position(0, 0), types.Position(0, 0)), "nothing was told yet")]


def at(text: str, words: str) -> types.Position:
    before = text[: text.index(words)]
    return types.Position(before.count("\n"), len(before) - before.rfind("\n") - 1)


@pytest.mark.asyncio
async def test_a_mistake_is_told_with_its_page_and_goes_when_it_is_mended(
    client: LanguageClient, tmp_path: Path
) -> None:
    path = tmp_path / "a.moe"
    opened(client, path, BASE.replace("n_heads = heads }", "n_heads = heads, n_kv_heads = 5 }"))
    (told,) = await codes(client, path, {"MOE3101"})
    assert told.code_description is not None
    assert Path(told.code_description.href.removeprefix("file://")).read_text(encoding="utf-8").startswith("# MOE3101")
    assert told.related_information
    edited(client, path, 2, types.TextDocumentContentChangeWholeDocument(BASE))
    await codes(client, path, set())


@pytest.mark.asyncio
async def test_keystrokes_are_followed_one_by_one(client: LanguageClient, tmp_path: Path) -> None:
    path = tmp_path / "a.moe"
    document = opened(client, path, BASE)
    place = at(BASE, "n_layers   = 2")
    for version, char in enumerate("# x\n", start=2):
        where = types.Range(place, place)
        edited(client, path, version, types.TextDocumentContentChangePartial(where, char))
        place = types.Position(place.line, place.character + 1)
    line = at(BASE, "n_layers   = 2").line + 1
    answer = await client.text_document_hover_async(types.HoverParams(document, types.Position(line, 2)))
    assert answer is not None
    assert isinstance(answer.contents, types.MarkupContent)
    assert "model.n_layers" in answer.contents.value


@pytest.mark.asyncio
async def test_an_editor_gets_numbers_and_what_they_lead_to(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "a.moe", BASE)
    everything = types.Range(types.Position(0, 0), types.Position(99, 0))
    hints = await client.text_document_inlay_hint_async(types.InlayHintParams(document, everything))
    assert "= 384" in [hint.label for hint in hints or ()]
    lenses = await client.text_document_code_lens_async(types.CodeLensParams(document))
    commands = {one.command.command: one.command for one in lenses or () if one.command}
    for name, words in {"moec.plan": "parameters", "moec.compile": "import jax", "moec.diff": "no such run"}.items():
        call = types.ExecuteCommandParams(name, commands[name].arguments)
        answer = await client.workspace_execute_command_async(call)
        assert isinstance(answer, dict)
        assert words in answer["text"]
    assert [one.name for one in tmp_path.iterdir()] == ["moec.root"]


@pytest.mark.asyncio
async def test_a_rename_reaches_files_that_are_not_open(client: LanguageClient, tmp_path: Path) -> None:
    user = tmp_path / "user.moe"
    user.write_text('edition = 2026\nuse "base.moe" as base\nmodel big extends base.dense { n_layers = 4 }\n', "utf-8")
    document = opened(client, tmp_path / "base.moe", BASE)
    (tmp_path / "base.moe").write_text(BASE, "utf-8")
    params = types.RenameParams(document, at(BASE, "dense {"), "thick")
    edit = await client.text_document_rename_async(params)
    assert edit is not None
    assert edit.changes is not None
    assert {uri.rpartition("/")[2]: len(edits) for uri, edits in edit.changes.items()} == {"base.moe": 2, "user.moe": 1}
    with pytest.raises(JsonRpcException, match="is no name"):
        await client.text_document_rename_async(types.RenameParams(document, at(BASE, "dense {"), "1x"))


@pytest.mark.asyncio
async def test_a_mistake_in_a_used_file_is_shown_there(client: LanguageClient, tmp_path: Path) -> None:
    base = tmp_path / "base.moe"
    base.write_text(BASE.replace("n_layers ", "n_laers "), "utf-8")
    opened(
        client,
        tmp_path / "a.moe",
        'edition = 2026\nuse "base.moe" as base\nlet n = base.heads\nmodel m { d_model = n }\n',
    )
    assert await codes(client, base, {"MOE2002"})


@pytest.mark.asyncio
async def test_a_used_file_that_changes_in_the_editor_is_felt_at_once(client: LanguageClient, tmp_path: Path) -> None:
    main, base = tmp_path / "a.moe", tmp_path / "base.moe"
    base.write_text(BASE, "utf-8")
    opened(client, main, 'edition = 2026\nuse "base.moe" as base\nmodel big extends base.dense { n_layers = 4 }\n')
    await codes(client, main, set())
    opened(client, base, BASE.replace("model dense", "model thick"))
    assert "MOE2008" in {one.code for one in await codes(client, main, {"MOE2008", *BROKEN_BASE})}


BROKEN_BASE = ("MOE2013", "MOE2014", "MOE2018")


@pytest.mark.asyncio
async def test_a_used_file_that_changes_on_disk_is_read_again(client: LanguageClient, tmp_path: Path) -> None:
    main, base = tmp_path / "a.moe", tmp_path / "base.moe"
    opened(client, main, 'edition = 2026\nuse "base.moe" as base\nmodel big extends base.dense { n_layers = 4 }\n')
    await codes(client, main, {"MOE0001"})
    base.write_text(BASE, "utf-8")
    event = types.FileEvent(base.as_uri(), types.FileChangeType.Created)
    client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
    await codes(client, main, set())


@pytest.mark.asyncio
async def test_a_text_without_a_file_and_a_yaml_text_are_checked(client: LanguageClient, tmp_path: Path) -> None:
    item = types.TextDocumentItem("untitled:Untitled-1", "moe", 1, "model = 1\n")
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    path = tmp_path / "a.moe.yaml"
    opened(client, path, "model:\n  a:\n    d_modle: 4\n")
    await codes(client, path, {"MOE2002", "MOE2011", "MOE2013", "MOE2014", "MOE2018"})
    assert {one.code for one in client.diagnostics["untitled:Untitled-1"]} == {"MOE2011", "MOE2025"}


@pytest.mark.asyncio
async def test_the_layout_is_offered_for_moe_alone_where_that_can_be_said(
    client: LanguageClient, tmp_path: Path
) -> None:
    document = opened(client, tmp_path / "a.moe", BASE.replace("let heads = 12", "let   heads=12"))
    options = types.FormattingOptions(tab_size=2, insert_spaces=True)
    edits = await client.text_document_formatting_async(types.DocumentFormattingParams(document, options))
    assert edits
    assert "let heads = 12" in edits[0].new_text
    promised = getattr(client, "promised").document_formatting_provider  # noqa: B009
    offer = getattr(client, "offers", {}).get(types.TEXT_DOCUMENT_FORMATTING)
    assert bool(promised) != bool(offer), "once, not twice"
    if offer:
        assert "yaml" not in str(offer)
        assert "**/*.moe'" in str(offer)


@pytest.mark.asyncio
async def test_a_rename_reaches_every_folder_that_is_open_and_no_other(client: LanguageClient, tmp_path: Path) -> None:
    text = 'edition = 2026\nuse "../one/base.moe" as base\nmodel big extends base.dense { n_layers = 4 }\n'
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "user.moe").write_text(text, "utf-8")
    folders = [types.WorkspaceFolder((tmp_path / name).as_uri(), name) for name in ("one", "two")]
    gone = [types.WorkspaceFolder(tmp_path.as_uri(), "folder")]
    event = types.WorkspaceFoldersChangeEvent(folders, gone)
    client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
    document = opened(client, tmp_path / "one" / "base.moe", BASE)
    edit = await client.text_document_rename_async(types.RenameParams(document, at(BASE, "dense {"), "thick"))
    assert edit is not None
    assert edit.changes is not None
    renamed = {uri.removeprefix(f"{tmp_path.as_uri()}/") for uri in edit.changes}
    assert renamed == {"one/base.moe", "one/user.moe", "two/user.moe"}


@pytest.mark.asyncio
async def test_a_question_can_be_taken_back(client: LanguageClient, tmp_path: Path) -> None:
    document = opened(client, tmp_path / "a.moe", BASE)
    asked = client.protocol.send_request(
        types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensParams(document), msg_id="taken back"
    )
    client.cancel_request(types.CancelParams("taken back"))
    with pytest.raises(JsonRpcException, match="is canceled"):
        await asyncio.wrap_future(asked)
    assert await client.text_document_code_lens_async(types.CodeLensParams(document))


@pytest.mark.asyncio
async def test_an_answer_that_has_become_stale_is_refused(client: LanguageClient, tmp_path: Path) -> None:
    path = tmp_path / "a.moe"
    document = opened(client, path, BASE)
    lenses = asyncio.ensure_future(client.text_document_code_lens_async(types.CodeLensParams(document)))
    await asyncio.sleep(0)
    edited(client, path, 2, types.TextDocumentContentChangeWholeDocument(BASE + "# more\n"))
    with pytest.raises(JsonRpcException, match="the text has changed"):
        await lenses


@pytest.mark.asyncio
async def test_a_closed_file_takes_its_diagnostics_along(client: LanguageClient, tmp_path: Path) -> None:
    path = tmp_path / "a.moe"
    document = opened(client, path, "model = 1\n")
    await codes(client, path, {"MOE2011", "MOE2025"})
    client.text_document_did_close(types.DidCloseTextDocumentParams(document))
    await codes(client, path, set())


@pytest.mark.asyncio
async def test_hostile_text_gets_an_answer(client: LanguageClient, tmp_path: Path) -> None:
    path = tmp_path / "a.moe"
    document = opened(client, path, "{" * 20_000 + "\ud800" * 3 + "\r\x00" + "a = [" * 5000)
    answer = await client.text_document_completion_async(types.CompletionParams(document, types.Position(0, 50)))
    assert answer is not None
    edited(client, path, 2, types.TextDocumentContentChangeWholeDocument(BASE))
    await codes(client, path, set())


def test_the_server_loads_no_jax() -> None:
    code = (
        "import sys\nimport moec.lsp.server\nprint([name for name in ('jax', 'numpy', 'flax') if name in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_ends_with_the_status_that_the_protocol_asks_for() -> None:
    end = b'Content-Length: 33\r\n\r\n{"jsonrpc":"2.0","method":"exit"}'
    done = subprocess.run(SERVER, input=end, capture_output=True, timeout=WAIT_SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_nothing_in_the_server_can_execute_anything() -> None:
    forbidden = re.compile(r"\b(?:subprocess|os\.system|exec|eval|importlib\.import_module|__import__|pickle)\b")
    found = [path.name for path in (ROOT / "lsp").glob("*.py") if forbidden.search(path.read_text(encoding="utf-8"))]
    assert found == []
