"""Takes the pictures of docs/images: `python tests/editors/pictures.py`. Needs Chromium, chromedriver, tmux and nvim.

The playground is pictured as it is, and so is VS Code where code-server is at hand. Neovim, and Helix where it is at
hand, run in a real terminal (tmux), whose screen is set as a page.
"""

from __future__ import annotations

import html
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

import code_server
import helix as program
import tree_sitter
from browser import CONTROL, Browser, browser
from code_server import Workbench, workbench
from helix import helix
from PIL import Image
from terminal import terminal

from moec.cli.playground.compiling import Compiling
from moec.cli.playground.server import Opened, Server

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = ROOT / "docs" / "images"
WINDOW: Final = {"width": 1200, "height": 860}
WIDE: Final = {"width": 1500, "height": 860}
LOOK: Final = (
    "set laststatus=2 scrolloff=0",
    "silent! colorscheme habamax",
    "highlight Normal guibg=#16181d",
    "highlight SignColumn guibg=#16181d",
    "lua if vim.fn.has('nvim-0.11') == 1 then vim.diagnostic.config({ virtual_lines = true }) end",
)
MISTAKEN: Final = (("n_heads = 4", "n_heads = 5"), ("seq_len    = 256", "seq_len    = 4k"))


def spoilt(text: str) -> str:
    for old, new in MISTAKEN:
        text = text.replace(old, new, 1)
    return text


# ---- the playground ----


def picture_playground(page: Browser) -> None:
    text = (ROOT / "examples" / "switch_base.moe").read_text(encoding="utf-8")
    with serving(Opened("switch_base.moe", text)) as address:
        page.open(address)
        page.wait_for(lambda: page.text("#state").endswith(" ms"), "an answer")
        page.click("[data-tab=shapes]")
        page.take_picture(IMAGES / "playground-shapes.png")
    quickstart = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
    with serving(Opened("quickstart.moe", quickstart)) as address:
        page.open(address)
        page.wait_for(lambda: page.text("#state").endswith(" ms"), "an answer")
        page.take_picture(IMAGES / "playground-plan.png")
        page.click("[data-tab=program]")
        for old, new in MISTAKEN:
            page.ask(f"const t = document.querySelector('#text'); t.value = t.value.replace({old!r}, {new!r})")
        page.ask("document.querySelector('#text').dispatchEvent(new Event('input'))")
        page.wait_for(lambda: "error" in page.text("#state"), "the mistake")
        page.take_picture(IMAGES / "playground-mistake.png")


@contextmanager
def serving(opened: Opened) -> Iterator[str]:
    """The address of a playground with a spec in it, until the block ends."""
    with Compiling() as compiling, Server(0, opened, compiling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()


# ---- Neovim ----


def picture_neovim(page: Browser, folder: Path) -> None:
    (folder / "moec.root").touch()
    text = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
    (folder / "quickstart.moe").write_text(text, encoding="utf-8")
    (folder / "mistake.moe").write_text(spoilt(text), encoding="utf-8")
    shown = {"neovim-numbers": ("quickstart.moe", "42G"), "neovim-mistake": ("mistake.moe", "gg")}
    for name, (spec, keys) in shown.items():
        screen = screen_of_neovim(folder, spec, keys)
        (folder / "screen.html").write_text(page_of_screen(screen), encoding="utf-8")
        page.open((folder / "screen.html").as_uri())
        page.take_picture(IMAGES / f"{name}.png")


def screen_of_neovim(folder: Path, spec: str, keys: str) -> str:
    """What the terminal shows, with its escapes."""
    paths = f"set runtimepath^={ROOT / 'editors' / 'vim'},{ROOT / 'editors' / 'neovim'} termguicolors number noswapfile"
    setup = f"lua require('moec').setup({{ cmd = {{ '{sys.executable}', '-m', 'moec.cli.main', 'lsp' }} }})"
    init = folder / "init.vim"
    init.write_text("\n".join((paths, *LOOK, setup)) + "\n", encoding="utf-8")
    with terminal(f"nvim -u {init} {folder / spec}", folder) as opened:
        time.sleep(4)
        opened.press(keys)
        time.sleep(2)
        return opened.coloured_screen()


# ---- Helix ----


def picture_helix(page: Browser, home: Path) -> None:
    text = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
    mistaken = text.replace("n_heads = 4", "n_heads = 5", 1)
    with helix(home, mistaken, "mistake.moe", with_colours=True) as opened:
        opened.wait_for("nearest values")
        screen = opened.coloured_screen()
    (home / "screen.html").write_text(page_of_screen(screen), encoding="utf-8")
    page.open((home / "screen.html").as_uri())
    page.take_picture(IMAGES / "helix.png")


# ---- VS Code ----


def picture_vscode(folder: Path) -> None:
    specs = folder / "specs"
    specs.mkdir()
    (specs / "moec.root").touch()
    text = (ROOT / "examples" / "quickstart.moe").read_text(encoding="utf-8")
    (specs / "quickstart.moe").write_text(text, encoding="utf-8")
    (specs / "mistake.moe").write_text(spoilt(text), encoding="utf-8")
    with workbench(specs, folder / "vscode", [sys.executable, "-m", "moec.cli.main"]) as vscode:
        vscode.page.on_page("POST", "/window/rect", WINDOW)
        picture_numbers(vscode)
        picture_mistake(vscode)


def picture_numbers(vscode: Workbench) -> None:
    vscode.open("quickstart.moe")
    vscode.page.wait_for(lambda: "parameters" in vscode.line("model dense"), "the numbers")
    vscode.run("View: Toggle Primary Side Bar Visibility")
    vscode.go_to(34, 1)
    vscode.wait_for_text(".codelens-decoration", "compile")
    vscode.wait_for_hover("python_stdlib", "python_stdlib")
    vscode.page.take_picture(IMAGES / "vscode-numbers.png")


def picture_mistake(vscode: Workbench) -> None:
    vscode.open("mistake.moe")
    vscode.run("Problems: Focus on Problems View")
    vscode.wait_for_text(".markers-panel", "MOE3102")
    vscode.open("mistake.moe")
    vscode.go_to(9, 16)
    vscode.page.press(CONTROL, ".")
    vscode.wait_for_text(".action-widget", "write")
    vscode.page.take_picture(IMAGES / "vscode-mistake.png")


PAGE: Final = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #16181d; color: #d7dae0; }
pre { margin: 12px; font: 14px/19px "DejaVu Sans Mono", monospace; }
span { padding: 2px 0; }
</style><pre>%s</pre>"""


def page_of_screen(screen: str) -> str:
    """The screen as a page: every stretch between two escapes in its colours."""
    style: dict[str, str] = {}
    parts = []
    for escape, text in re.findall(r"(?:\x1b\[([0-9;:]*)m)?([^\x1b]*)", screen):
        style = dict(changed(style, escape))
        css = ";".join(f"{name}:{value}" for name, value in style.items())
        parts.append(f'<span style="{css}">{html.escape(text)}</span>')
    return PAGE % "".join(parts)


PLAIN: Final = {
    "1": ("font-weight", "bold"),
    "3": ("font-style", "italic"),
    "4": ("text-decoration", "underline"),
    "4:3": ("text-decoration", "underline wavy"),
}


def changed(style: dict[str, str], escape: str) -> Iterator[tuple[str, str]]:
    """The style after an escape of true colours, bold, italic or underline."""
    codes = escape.split(";") if escape else []
    kept = {} if "0" in codes[:1] or codes == [""] else dict(style)
    while codes:
        code = codes.pop(0)
        if code in ("38", "48") and codes[:1] == ["2"]:
            kept["color" if code == "38" else "background"] = f"rgb({','.join(codes[1:4])})"
            codes = codes[4:]
        elif code in PLAIN:
            name, value = PLAIN[code]
            kept[name] = value
        elif code in ("39", "49"):
            kept.pop("color" if code == "39" else "background", None)
    yield from kept.items()


def main() -> None:
    """All pictures, each below 250 KB."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with browser() as page, tempfile.TemporaryDirectory() as folder:
        page.on_page("POST", "/window/rect", WIDE)
        picture_playground(page)
        page.on_page("POST", "/window/rect", WINDOW)
        picture_neovim(page, Path(folder))
        if program.COMMAND and tree_sitter.COMMAND:
            picture_helix(page, Path(folder) / "helix")
        if code_server.COMMAND:
            picture_vscode(Path(folder))
    for path in sorted(IMAGES.glob("*-*.png")):
        with Image.open(path) as picture:
            picture.convert("RGB").save(path, optimize=True)
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.stat().st_size:>8} {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
