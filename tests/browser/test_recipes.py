"""The recipes for pages in a real Chromium: React and Vue with one connection, and a file in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from playwright.sync_api import Browser, Page, expect

from server import BackgroundServer, serve
from tests.recipes.recipe import code, program

CONNECTION = Path(__file__).parents[2] / "server" / "app" / "static" / "connection.js"
REACT_FILES = ["react/umd/react.development.js", "react-dom/umd/react-dom.development.js"]
BIG = 300_000  # bytes, ten pieces

REACT = """
import { useConnection } from "./react-hook.js";
const { createElement: h, StrictMode, useCallback, useState } = React;
function Panel({ name }) {
  const [last, setLast] = useState("nothing");
  const state = useConnection(useCallback((message) => setLast(message.text), []));
  return h("p", { id: name }, `${state}: ${last}`);
}
function App() {
  const [shown, show] = useState(true);
  return h("div", null, h("button", { onClick: () => show(!shown) }, "toggle"),
    shown && h(Panel, { name: "one" }), h(Panel, { name: "two" }));
}
ReactDOM.createRoot(document.body).render(h(StrictMode, null, h(App)));
"""
VUE_APP = """
import { useConnection } from "./vue-composable.js";
const { createApp, h, ref } = Vue;
const Panel = {
  props: ["name"],
  setup({ name }) {
    const last = ref("nothing");
    const state = useConnection((message) => (last.value = message.text));
    return () => h("p", { id: name }, `${state.value}: ${last.value}`);
  },
};
createApp({
  setup() {
    const shown = ref(true);
    return () => h("div", null, [h("button", { onClick: () => (shown.value = !shown.value) }, "toggle"),
      shown.value ? h(Panel, { name: "one" }) : null, h(Panel, { name: "two" })]);
  },
}).mount(document.body);
"""


class Site:
    """A server for the recipes' pages, which counts its connections."""

    def __init__(self, scripts: dict[str, Path | str]) -> None:
        self.sockets: list[WebSocket] = []
        self.app = app = FastAPI()
        scripts = {"connection.js": CONNECTION, "shared.js": code("react-and-vue", "js")[0], **scripts}
        globals_ = [name for name in scripts if name.endswith(".global.js")]
        tags = "".join(f'<script src="{name}"></script>' for name in globals_)
        html = f'<!doctype html><body></body>{tags}<script type="module" src="app.js"></script>'

        @app.get("/")
        async def page() -> HTMLResponse:
            return HTMLResponse(html)

        @app.get("/{name}.js")
        async def script(name: str) -> Response:
            found = scripts[f"{name}.js"]
            if isinstance(found, Path):
                return FileResponse(found, media_type="text/javascript")
            return PlainTextResponse(found, media_type="text/javascript")

        @app.post("/ticket")
        async def ticket() -> dict[str, str]:
            return {"ticket": "good"}

        @app.websocket("/ws")
        async def chat(websocket: WebSocket) -> None:
            await websocket.accept()
            self.sockets.append(websocket)
            await websocket.send_json({"text": f"connection {len(self.sockets)}"})
            async for _ in websocket.iter_text():
                pass


def with_global(source: str, module: str, name: str) -> str:
    """A recipe's module, with the framework from a global variable, because there is no bundler here."""
    (line,) = (line for line in source.splitlines() if line.endswith(f'from "{module}";'))
    return source.replace(line, line.replace("import", "const").replace(f'from "{module}"', f"= {name}"))


@pytest.fixture(params=["react", "vue"])
def site(request: pytest.FixtureRequest, node_package: Callable[[str], Path]) -> Site:
    """The recipe's hook with a page of two components, in React's StrictMode or in Vue."""
    is_react = request.param == "react"
    files = REACT_FILES if is_react else ["vue/dist/vue.global.js"]
    packages = node_package("react-dom@18" if is_react else "vue@3") / "node_modules"  # react-dom brings react along
    scripts: dict[str, Path | str] = {f"{file.partition('/')[0]}.global.js": packages / file for file in files}
    if is_react:
        hook = with_global(code("react-and-vue", "jsx")[0], "react", "React")
        return Site({**scripts, "react-hook.js": hook, "app.js": REACT})
    composable = with_global(code("react-and-vue", "js")[1], "vue", "Vue")
    return Site({**scripts, "vue-composable.js": composable, "app.js": VUE_APP})


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without errors."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def test_two_components_share_one_connection(site: Site, page: Page) -> None:
    """Mounted twice, hidden and shown again, they have had one connection; both hear what it says."""
    with serve(site.app) as server:
        page.goto(server.http())
        expect(page.locator("#two")).to_have_text("open: connection 1")
        expect(page.locator("#one")).to_have_text("open: connection 1")
        page.get_by_role("button").click()
        expect(page.locator("#one")).to_have_count(0)
        page.get_by_role("button").click()
        expect(page.locator("#one")).to_have_text("open: nothing")
        assert len(site.sockets) == 1


def test_a_file_goes_in_pieces_and_arrives_whole(page: Page) -> None:
    """The page's function and the recipe's server; the answer comes after the last byte."""
    app: FastAPI = program("audio-and-files")["app"]

    @app.get("/")
    async def empty() -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>files</title>")

    with serve(app) as server:
        stored = _send(page, server)
    assert stored == {"type": "stored", "size": BIG}


def _send(page: Page, server: BackgroundServer) -> object:
    page.goto(server.http())
    (function,) = code("audio-and-files", "js")
    return page.evaluate(
        f"""async (size) => {{
            {function}
            const socket = new WebSocket(new URL("files", document.baseURI.replace("http", "ws")));
            const stored = new Promise((done) => (socket.onmessage = (event) => done(JSON.parse(event.data))));
            await new Promise((open) => (socket.onopen = open));
            await sendInPieces(socket, new Blob([new Uint8Array(size)]));
            return stored;
        }}""",
        BIG,
    )
