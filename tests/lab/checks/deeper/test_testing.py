"""The checks of deeper/testing-faults: tests that are good, and tests that miss a bug."""

from __future__ import annotations

import time
from typing import Any

import pytest
from lab.checks.deeper import testing
from lab.checks.deeper.testing import check_frozen_test, check_ghost_test
from lab.checks.verdict import shown

from server.testing import eventually

LONG = "x" * 100_000


def said_by(check: Any, test: Any) -> str:
    """What the check says, on one line."""
    said = str(check(test))
    assert "\n" not in said
    return said


def people(server: Any) -> list[str]:
    """Who is listed."""
    return sorted(server.app.state.room.outboxes)


@pytest.fixture
def in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a good test wait less for what a server with a bug never does; it fails there, sooner."""
    monkeypatch.setattr(testing, "HASTY", 0.3)


# exercise 1


def no_ghost(server: Any, websocket: Any, tap: Any) -> None:
    """The solution."""
    cable = tap(server)
    websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    cable.reset()
    eventually(people, server, equals=["ana"])


def no_ghost_by_hand(server: Any, websocket: Any, tap: Any) -> None:
    """Right: with a loop of its own."""

    def wait_for(names: list[str]) -> None:
        deadline = time.monotonic() + 3  # less than the check waits for a test
        while people(server) != names:
            assert time.monotonic() < deadline, f"{people(server)} instead of {names}"
            time.sleep(0.01)

    ana = websocket(server, "/ws/ana")
    cable = tap(server)
    ben = websocket(cable, "/ws/ben")
    wait_for(["ana", "ben"])
    cable.reset()
    assert ben.end() == 1006
    wait_for(["ana"])
    ana.close()


def no_ghost_by_signs(server: Any, websocket: Any, tap: Any) -> None:
    """Right: what Ana hears says that both are there."""
    ana = websocket(server, "/ws/ana")
    ana.recv_until("ana is here")
    cable = tap(server)
    websocket(cable, "/ws/ben")
    ana.recv_until("ben is here")
    assert people(server) == ["ana", "ben"]
    cable.reset()
    eventually(people, server, equals=["ana"])


@pytest.mark.usefixtures("in_vain")
@pytest.mark.parametrize("test", [no_ghost, no_ghost_by_hand, no_ghost_by_signs])
def test_a_good_test_for_ghosts_passes(test: Any) -> None:
    """However it waits."""
    assert said_by(check_ghost_test, test).startswith("passed: ")


def asks_once(server: Any, websocket: Any, tap: Any) -> None:
    """Doesn't wait until the server has noticed."""
    cable = tap(server)
    websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    cable.reset()
    assert people(server) == ["ana"]


def does_not_wait_for_them(server: Any, websocket: Any, tap: Any) -> None:
    """Looks for both at once."""
    cable = tap(server)
    websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    assert people(server) == ["ana", "ben"]
    cable.reset()
    eventually(people, server, equals=["ana"])


def says_goodbye(server: Any, websocket: Any, tap: Any) -> None:
    """Lets Ben close."""
    websocket(server, "/ws/ana")
    ben = websocket(server, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    ben.close()
    eventually(people, server, equals=["ana"])


def is_alone(server: Any, websocket: Any, tap: Any) -> None:
    """Has no Ana."""
    cable = tap(server)
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ben"])
    cable.reset()
    eventually(people, server, equals=[])


def does_not_look_before(server: Any, websocket: Any, tap: Any) -> None:
    """Never sees Ben listed."""
    cable = tap(server)
    websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    cable.reset()
    time.sleep(0.4)
    assert "ben" not in people(server)


def looks_only_before(server: Any, websocket: Any, tap: Any) -> None:
    """Forgets the point."""
    cable = tap(server)
    websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    cable.reset()


def does_nothing(server: Any, websocket: Any, tap: Any) -> None:
    """Asserts what is always so."""
    assert people(server) == []


def always_fails(server: Any, websocket: Any, tap: Any) -> None:
    """Is red everywhere."""
    websocket(server, "/ws/ana")
    raise AssertionError("no")


def forgets_the_path(server: Any, websocket: Any, tap: Any) -> None:
    """Connects where nobody listens."""
    websocket(server)


def wrong_arguments(serve: Any, websocket: Any) -> None:
    """Has others than the exercise asks for."""
    websocket(serve, "/ws/ana")


async def coroutine(server: Any, websocket: Any, tap: Any) -> None:
    """Is never run by pytest."""
    websocket(server, "/ws/ana")


def misspelt(server: Any, websocket: Any, tap: Any) -> None:
    """Uses a name that isn't there."""
    websocket(server, "/ws/ana")
    eventualy(people, server, equals=["ana"])  # type: ignore[name-defined]  # noqa: F821


def stub(server: Any, websocket: Any, tap: Any) -> None:
    """The stub of both."""
    raise NotImplementedError


WRONG_GHOSTS = [
    (asks_once, "fails on a server that is right"),
    (does_not_wait_for_them, "fails on a server that is right"),
    (says_goodbye, "passes on a server that only forgets clients that say goodbye; tear Ben's connection down"),
    (is_alone, "passes on a server that forgets everybody as soon as one leaves; at the end, Ana must"),
    (does_not_look_before, "passes on a server that lists nobody at all; before Ben leaves, make sure"),
    (looks_only_before, "passes on a server that forgets nobody; at the end, ask who is still listed"),
    (does_nothing, "nobody has connected in it"),
    (always_fails, "fails on a server that is right: AssertionError: no"),
    (forgets_the_path, "fails on a server that is right: InvalidStatus"),
    (wrong_arguments, "takes (serve, websocket), expected (server, websocket, tap)"),
    (coroutine, "is an async function, which pytest doesn't run by itself; write `def`"),
    (misspelt, "NameError: name 'eventualy' is not defined"),
    (stub, "stub"),
]


@pytest.mark.parametrize(("test", "why"), WRONG_GHOSTS, ids=[test.__name__ for test, _ in WRONG_GHOSTS])
def test_a_test_that_misses_a_ghost_is_told_which(test: Any, why: str) -> None:
    """Each typical mistake is named."""
    said = said_by(check_ghost_test, test)
    assert said.startswith("not yet: ")
    assert why in said


# exercise 2


def not_frozen(server: Any, websocket: Any, tap: Any) -> None:
    """The solution."""
    cable = tap(server)
    ana = websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    cable.stall("server")
    for _ in range(100):
        ana.send(LONG)
        ana.recv_until(f"ana: {LONG}")


def not_frozen_by_a_cut(server: Any, websocket: Any, tap: Any) -> None:
    """Right: a cut cable isn't read either; and Ana comes in first."""
    ana = websocket(server, "/ws/ana")
    ana.recv_until("ana is here")
    cable = tap(server)
    websocket(cable, "/ws/ben")
    ana.recv_until("ben is here")
    cable.cut()
    for _ in range(100):
        ana.send(LONG)
        assert ana.recv() == f"ana: {LONG}"


def not_frozen_with_a_third(server: Any, websocket: Any, tap: Any) -> None:
    """Right: in few long messages, and somebody else listens as well."""
    cable = tap(server)
    websocket(cable, "/ws/ben").recv()
    ana, cyd = websocket(server, "/ws/ana"), websocket(server, "/ws/cyd")
    ana.recv_until("cyd is here")
    cyd.recv_until("cyd is here")
    cable.stall()
    for _ in range(30):
        ana.send(LONG * 5)
        ana.recv_until("ana: " + LONG * 5)
        cyd.recv_until("ana: " + LONG * 5)


def not_frozen_in_five_megabytes(server: Any, websocket: Any, tap: Any) -> None:
    """Right: half of what is asked for is still more than the buffers keep."""
    cable = tap(server)
    ana = two(server, websocket, cable)
    cable.stall("server")
    talk(ana, LONG, 50)


GOOD_FROZEN = [not_frozen, not_frozen_by_a_cut, not_frozen_with_a_third, not_frozen_in_five_megabytes]


@pytest.mark.usefixtures("in_vain")
@pytest.mark.parametrize("test", GOOD_FROZEN)
def test_a_good_test_for_frozen_rooms_passes(test: Any) -> None:
    """However it is written."""
    assert said_by(check_frozen_test, test).startswith("passed: ")


def talk(ana: Any, text: str, times: int) -> None:
    """Ana says something, and hears it, again and again."""
    for _ in range(times):
        ana.send(text)
        ana.recv_until(f"ana: {text}")


def two(server: Any, websocket: Any, cable: Any) -> Any:
    """Let both come in, and return Ana."""
    ana = websocket(server, "/ws/ana")
    websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    return ana


def forgets_to_stall(server: Any, websocket: Any, tap: Any) -> None:
    """Everybody reads."""
    cable = tap(server)
    ben = websocket(cable, "/ws/ben")
    ana = websocket(server, "/ws/ana")
    eventually(people, server, equals=["ana", "ben"])
    for _ in range(100):
        talk(ana, LONG, 1)
        ben.recv_until(f"ana: {LONG}")


def says_too_little(server: Any, websocket: Any, tap: Any) -> None:
    """All of it has room in the buffers."""
    cable = tap(server)
    ana = two(server, websocket, cable)
    cable.stall("server")
    talk(ana, "hello", 100)


def stalls_the_wrong_side(server: Any, websocket: Any, tap: Any) -> None:
    """Ben can't speak, and reads all the same."""
    cable = tap(server)
    ana = two(server, websocket, cable)
    cable.stall("client")
    talk(ana, LONG, 100)


def does_not_wait_for_ben(server: Any, websocket: Any, tap: Any) -> None:
    """Ben's handshake is stalled, and he never comes in."""
    cable = tap(server)
    cable.stall("server")
    ana = websocket(server, "/ws/ana")
    talk(ana, LONG, 100)


def says_nothing(server: Any, websocket: Any, tap: Any) -> None:
    """Only stalls."""
    cable = tap(server)
    two(server, websocket, cable)
    cable.stall("server")


def only_sends(server: Any, websocket: Any, tap: Any) -> None:
    """Never looks whether anything comes back."""
    cable = tap(server)
    ana = two(server, websocket, cable)
    cable.stall("server")
    for _ in range(20):
        ana.send(LONG)


def listens_to_ben(server: Any, websocket: Any, tap: Any) -> None:
    """Waits for the one that is stalled."""
    cable = tap(server)
    ana = websocket(server, "/ws/ana")
    ben = websocket(cable, "/ws/ben")
    eventually(people, server, equals=["ana", "ben"])
    cable.stall("server")
    ana.send("hello")
    ben.recv_until("ana: hello", timeout=0.5)  # as vain as five seconds


WRONG_FROZEN = [
    (forgets_to_stall, "passes on a server that sends to one client after the other; stall Ben's cable"),
    (says_too_little, "let Ana say 10 MB"),
    (stalls_the_wrong_side, '`cable.stall("server")`'),
    (does_not_wait_for_ben, "passes on a server that sends to one client after the other"),
    (says_nothing, "passes on a server that sends to one client after the other"),
    (only_sends, "passes on a server that sends to one client after the other"),
    (listens_to_ben, "fails on a server that is right: TimeoutError"),
    (stub, "stub"),
]


@pytest.mark.parametrize(("test", "why"), WRONG_FROZEN, ids=[test.__name__ for test, _ in WRONG_FROZEN])
def test_a_test_that_misses_a_frozen_room_is_told_what_it_lacks(test: Any, why: str) -> None:
    """Each typical mistake is named."""
    said = said_by(check_frozen_test, test)
    assert said.startswith("not yet: ")
    assert why in said


@pytest.mark.parametrize("check", [check_ghost_test, check_frozen_test])
@pytest.mark.parametrize("answer", [None, 7, print], ids=shown)
def test_a_check_never_raises(check: Any, answer: Any) -> None:
    """Whatever is handed in, the verdict is one sentence."""
    assert said_by(check, answer).startswith("not yet: ")
