"""The live browser client in a real page, used with the keyboard, directly and through the proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .notebook import LabPage, Notebook, Pane

SERVE = """
from queue import Queue
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from ipywidgets import HBox
from lab import BrowserClient, Tap
from server import serve

app = FastAPI()
left = Queue()

@app.websocket("/ws")
async def echo(websocket: WebSocket, name: str = "the server"):
    await websocket.accept(subprotocol="v1" if "v1" in websocket.scope["subprotocols"] else None)
    try:
        while (text := await websocket.receive_text()) != "bye":
            if text == "binary":
                await websocket.send_bytes(bytes(range(4)))
            elif text == "flood":
                for number in range(1_500):
                    await websocket.send_text(f"row {number}")
            else:
                await websocket.send_text(f"{name} heard {text}")
        await websocket.close(4001, "auth required")
    except WebSocketDisconnect as gone:
        left.put((int(gone.code), gone.reason))

server = serve(app)
"""
RESTART = "server.stop(); server = serve(app, port=server.port)"
SHOW, SERVER, PYTHON = 1, 2, 3  # the cells of the notebook behind the first


def serving(lab: LabPage) -> Iterator[Notebook]:
    """A notebook whose first cell serves the app, with empty cells for the tests behind it."""
    with lab.open(lab.lab.write("client.ipynb", SERVE, "", RESTART, "")) as notebook:
        notebook.run(0)
        yield notebook


@pytest.fixture(scope="module")
def direct_notebook(direct_lab: LabPage) -> Iterator[Notebook]:
    """The notebook on localhost; for what is the same through the proxy."""
    yield from serving(direct_lab)


@pytest.fixture(scope="module")
def proxied_notebook(proxied_lab: LabPage) -> Iterator[Notebook]:
    """The notebook where the browser must go through the proxy."""
    yield from serving(proxied_lab)


@pytest.fixture(params=["direct", "proxied"])
def route(request: pytest.FixtureRequest) -> str:
    """How the browser reaches the kernel's ports."""
    return str(request.param)


@pytest.fixture
def notebook(route: str, request: pytest.FixtureRequest) -> Notebook:
    """Both notebooks in turn."""
    notebook: Notebook = request.getfixturevalue(f"{route}_notebook")
    return notebook


def show(notebook: Notebook, source: str = "BrowserClient(server)") -> Pane:
    """Run a cell that shows a client, and wait until it is connected."""
    notebook.write(SHOW, f"client = {source}\nclient")
    notebook.run(SHOW)
    pane = notebook.pane(SHOW)
    expect(pane.state).to_have_text("open")
    return pane


def expect_heard(pane: Pane) -> None:
    """Wait until the server has the connection: the proxy lets the page be open before it has asked the server."""
    pane.say("hello")
    expect(pane.log).to_contain_text("the server heard hello")


def python(notebook: Notebook, source: str) -> str:
    """What a further cell prints."""
    notebook.write(PYTHON, source)
    return notebook.text_of(PYTHON).strip()


def test_a_message_is_typed_sent_and_answered(notebook: Notebook) -> None:
    """Enter in the message field sends, the answer is shown, and Python learns of both."""
    pane = show(notebook)
    pane.say("hello")
    expect(pane.log).to_contain_text("the server heard hello")
    expect(pane.message).to_be_focused()
    expect(pane.message).to_have_value("")
    events = python(notebook, "print(client.state, client.events[0]['event'], client.events[1:], sep='|')")
    assert events == (
        "open|open|[{'event': 'sent', 'data': 'hello'}, {'event': 'message', 'data': 'the server heard hello'}]"
    )


def test_no_half_of_a_character_reaches_python(direct_notebook: Notebook) -> None:
    """A long text is cut where a character ends: Python cannot print half of one, and loses all that a cell prints."""
    pane = show(direct_notebook)
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    for text in ("a" * 1_999 + "\U0001f600" + "b", "c" * 1_996 + family + "d", "e" + "\U0001f600" * 2_000):
        pane.paste(text)
    pane.message.evaluate("(field) => field.value = 'half ' + String.fromCharCode(0xd83d)")
    pane.message.press("Enter")
    expect(pane.log).to_contain_text("the server heard half \ufffd")
    ends = "print(*(e['data'][-25:] for e in client.events if e['event'] == 'sent'), 'after', sep='|')"
    first, second, third, half, after = python(direct_notebook, ends).split("|")
    assert first.endswith("aaa… (2002 characters)")
    assert second.endswith("ccc… (2005 characters)")
    assert third.endswith("\U0001f600… (4001 characters)")
    assert (half, after) == ("half \ufffd", "after")


def test_the_route_to_the_server_is_said(notebook: Notebook, route: str) -> None:
    """The pane names the address and the route, and what the proxy hides."""
    pane = show(notebook)
    if route == "direct":
        expect(pane.node).to_contain_text(re.compile(r'new WebSocket\("ws://127\.0\.0\.1:\d+/ws"\)'))
        expect(pane.node).to_contain_text("Directly")
    else:
        expect(pane.node).to_contain_text(re.compile(r"ws://lab\.test:\d+/user/ana/proxy/\d+/ws"))
        expect(pane.node).to_contain_text("Through Jupyter's proxy. It hides")


def test_the_servers_close_code_and_reason_are_shown(notebook: Notebook, route: str) -> None:
    """4001 and its reason arrive directly; the proxy turns them into 1005, and the pane says so."""
    pane = show(notebook)
    pane.say("bye")
    expect(pane.state).to_have_text("closed")
    direct = 'code 4001, reason "auth required", wasClean true'
    proxied = 'code 1005, reason "", wasClean true (the proxy hides the server\'s code)'
    expect(pane.log).to_contain_text(direct if route == "direct" else proxied)
    code = python(notebook, "print(client.state, client.events[-1])")
    assert code.startswith("closed {'event': 'close', 'code': " + ("4001" if route == "direct" else "1005"))


def test_everything_is_reached_with_the_keyboard(notebook: Notebook, route: str) -> None:
    """Tab goes from field to field, Enter closes with the typed code and reason, Enter on Connect connects."""
    pane, keys = show(notebook), notebook.page.keyboard
    python(notebook, "left = Queue()")
    pane.message.focus()
    for text in ("", "4321", "done"):  # over Send and the code to the reason
        keys.press("Tab")
        keys.type(text)
    expect(pane.code).to_have_value("4321")
    keys.press("Enter")
    expect(pane.state).to_have_text("closed")
    keys.press("Tab")
    keys.press("Tab")
    expect(pane.button("Connect")).to_be_focused()
    keys.press("Enter")
    expect(pane.state).to_have_text("open")
    gone = python(notebook, "print(left.get(timeout=15))")
    assert gone == ("(4321, 'done')" if route == "direct" else "(1005, '')")


def test_a_stopped_server_is_seen_and_connected_to_again(notebook: Notebook, route: str) -> None:
    """A restart of the server closes with 1012, and Connect reaches the new one."""
    pane = show(notebook)
    expect_heard(pane)
    notebook.run(SERVER)
    expect(pane.state).to_have_text("closed")
    expect(pane.log).to_contain_text("code 1012" if route == "direct" else "code 1005")
    pane.button("Connect").click()
    expect(pane.state).to_have_text("open")
    pane.say("again")
    expect(pane.log).to_contain_text("the server heard again")


def test_reconnect_connects_again_by_itself(notebook: Notebook) -> None:
    """With reconnect=True a restarted server is found again, and the pane says how long it waits."""
    pane = show(notebook, "BrowserClient(server, reconnect=True)")
    expect_heard(pane)
    notebook.run(SERVER)
    expect(pane.log).to_contain_text(re.compile(r"attempt 1 of 8 in 0\.\d s \(chosen between 0 and 0\.5 s\)"))
    expect(pane.state).to_have_text("open")
    pane.say("here again")
    expect(pane.log).to_contain_text("the server heard here again")


def test_reconnect_gives_up(notebook: Notebook) -> None:
    """A server that stays away is tried 8 times, then the pane stops; Close ends the attempts before that."""
    pane = show(notebook, "BrowserClient(server, reconnect=True)")
    expect_heard(pane)
    notebook.page.evaluate("window.random = Math.random; Math.random = () => 0")
    try:
        python(notebook, "server.stop()")
        expect(pane.log).to_contain_text("gave up after 8 attempts")
    finally:
        notebook.page.evaluate("Math.random = window.random")
    expect(pane.state).to_have_text("closed")
    pane.button("Connect").click()
    expect(pane.state).to_have_text("waiting")
    pane.button("Close").click()
    expect(pane.state).to_have_text("closed")
    notebook.run(0)


def test_a_close_that_is_meant_is_final(direct_notebook: Notebook) -> None:
    """With reconnect=True, neither the reader's Close nor the server's 4001 starts the attempts."""
    pane = show(direct_notebook, "BrowserClient(server, reconnect=True)")
    pane.code.fill("4999")
    pane.button("Close").click()
    expect(pane.log).to_contain_text("code 4999")
    expect(pane.state).to_have_text("closed")
    pane.button("Connect").click()
    expect(pane.state).to_have_text("open")
    pane.say("bye")
    expect(pane.log).to_contain_text("code 4001")
    expect(pane.state).to_have_text("closed")
    expect(pane.log).not_to_contain_text("attempt")


def test_what_the_browser_refuses_is_shown(direct_notebook: Notebook) -> None:
    """A script may not send 1001: the browser's own exception is shown, and the socket stays open."""
    pane = show(direct_notebook)
    pane.code.fill("1001")
    pane.button("Close").click()
    expect(pane.log).to_contain_text("InvalidAccessError")
    expect(pane.state).to_have_text("open")
    assert "InvalidAccessError" in python(direct_notebook, "print(client.events[-1])")


def test_the_chosen_subprotocol_is_shown(direct_notebook: Notebook) -> None:
    """The offer is part of the address, the server's choice part of the open event."""
    pane = show(direct_notebook, "BrowserClient(server, subprotocols=['v0', 'v1'])")
    expect(pane.node).to_contain_text('/ws", ["v0","v1"])')
    expect(pane.log).to_contain_text('protocol "v1"')


def test_a_refused_handshake_ends_with_1006(notebook: Notebook, route: str) -> None:
    """The browser gives no reason for a refusal: an error event, then 1006; a proxy opens first, and this is shown."""
    notebook.write(SHOW, "client = BrowserClient(server, '/nowhere')\nclient")
    notebook.run(SHOW)
    pane = notebook.pane(SHOW)
    expect(pane.log).to_contain_text('code 1006, reason "", wasClean false')
    hint = "the browser never tells a script what went wrong" if route == "direct" else "the proxy opens before it asks"
    expect(pane.log).to_contain_text(hint)


def test_python_sends_closes_and_connects(direct_notebook: Notebook) -> None:
    """send() before the socket is open waits for it; close() and connect() reach the browser."""
    direct_notebook.write(SHOW, "client = BrowserClient(server)\nclient.send('early')\nclient")
    direct_notebook.run(SHOW)
    pane = direct_notebook.pane(SHOW)
    expect(pane.log).to_contain_text("the server heard early")
    python(direct_notebook, "client.close(3000, 'from Python')")
    expect(pane.log).to_contain_text('code 3000, reason "from Python"')
    python(direct_notebook, "client.connect(); client.send('late')")
    expect(pane.log).to_contain_text("the server heard late")


def test_a_cell_that_awaits_hears_of_the_browser(direct_notebook: Notebook) -> None:
    """A cell may send through the browser and await its report, as the kernel takes reports meanwhile."""
    show(direct_notebook)
    heard = python(
        direct_notebook,
        "import asyncio\n"
        "client.send('hi')\n"
        "async with asyncio.timeout(30):\n"
        "    while client.events[-1]['event'] != 'message':\n"
        "        await asyncio.sleep(0.01)\n"
        "print(client.events[-1]['data'])",
    )
    assert heard == "the server heard hi"


def test_a_callback_hears_every_event(direct_notebook: Notebook) -> None:
    """on_event is called with the dict that `events` keeps."""
    python(direct_notebook, "heard = []")
    pane = show(direct_notebook, "BrowserClient(server, on_event=heard.append)")
    pane.say("one")
    expect(pane.log).to_contain_text("the server heard one")
    assert python(direct_notebook, "print(heard == client.events, len(heard))") == "True 3"


def test_a_flood_and_bytes_are_shown_within_bounds(direct_notebook: Notebook) -> None:
    """1,500 messages leave 200 rows in the page and 1,000 events in Python, the newest; bytes are shown in hex."""
    pane = show(direct_notebook)
    pane.say("flood")
    expect(pane.log).to_contain_text("row 1499")
    assert pane.log.locator(".lab-event").count() == 200
    expect(pane.log.get_by_text("row 1499")).to_be_in_viewport()
    assert python(direct_notebook, "print(len(client.events), client.events[-1]['data'])") == "1000 row 1499"
    pane.say("binary")
    expect(pane.log).to_contain_text("4 bytes: 00010203")


def test_a_cell_that_runs_again_closes_its_earlier_socket(direct_notebook: Notebook) -> None:
    """The pane that is replaced says goodbye with 1000, and one connection remains."""
    show(direct_notebook)
    python(direct_notebook, "left = Queue()")
    pane = show(direct_notebook)
    pane.say("fresh")
    expect(pane.log).to_contain_text("the server heard fresh")
    gone = python(direct_notebook, "print(left.get(timeout=15), server.connections)")
    assert gone == "(1000, 'the pane was removed') 1"


def test_two_clients_stand_side_by_side(direct_notebook: Notebook) -> None:
    """Two clients in an HBox share the width equally, whatever is in them, each with a socket of its own."""
    direct_notebook.write(SHOW, "HBox([BrowserClient(server, f'/ws?name={name}') for name in ('Ana', 'Ben')])")
    direct_notebook.run(SHOW)
    ana, ben = direct_notebook.panes(SHOW, 2)
    ana.say("hi")
    expect(ana.log).to_contain_text("Ana heard hi")
    ben.paste("a long text, " * 20)
    expect(ben.log).to_contain_text("Ben heard a long text")
    left, right = ana.node.bounding_box(), ben.node.bounding_box()
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert abs(left["width"] - right["width"]) < 2
    direct_notebook.screenshot("two-clients")


def test_a_dead_path_is_left_for_a_living_one(notebook: Notebook) -> None:
    """A tap swallows everything: the pane asks, gets no answer, says so, and reconnects; Python learns of it."""
    pane = show(notebook, "BrowserClient(tap := Tap(server).start(), reconnect=True, idle_timeout=3, ping='ping')")
    expect(pane.log).to_contain_text("the server heard ping")
    python(notebook, "tap.cut()")
    expect(pane.log).to_contain_text("nothing came for 3 s")
    expect(pane.state).not_to_have_text("open")
    python(notebook, "tap.mend()")
    expect(pane.state).to_have_text("open")
    lost = python(notebook, "print([event for event in client.events if event['event'] == 'lost'][0])")
    assert lost == "{'event': 'lost', 'seconds': 3}"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_word_can_be_read_in_both_themes(direct_lab: LabPage, direct_notebook: Notebook, theme: str) -> None:
    """Text has a contrast of 4.5 or more with what is behind it."""
    with direct_lab.theme(theme):
        pane = show(direct_notebook, "BrowserClient(server, reconnect=True)")
        pane.say("hello")
        pane.code.fill("1001")
        pane.button("Close").click()
        direct_notebook.run(SERVER)
        expect(pane.log).to_contain_text("attempt 1")
        expect(pane.state).to_have_text("open")
        direct_notebook.screenshot(theme.split()[1].lower())
        assert pane.node.evaluate("node => course.contrast(node)") >= 4.5
