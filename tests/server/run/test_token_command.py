"""``python -m server token``: it prints a token that the servers of the same key take, and nothing else."""

from __future__ import annotations

import os
import time

import pytest

from server.__main__ import main
from server.access.tokens import verify_session

KEY = "a secret of thirty-two characters"


@pytest.fixture(autouse=True)
def with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are a key, and nothing else of this machine."""
    for name in os.environ:
        if name.startswith("CHAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHAT_KEY", KEY)


def test_it_prints_a_token_that_may_push(capsys: pytest.CaptureFixture[str]) -> None:
    """For this many hours, alone on a line."""
    assert main(["token", "--user", "shop", "--scope", "push", "--hours", "1.5"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    session = verify_session(line, key=KEY)
    assert session is not None
    assert (session.user, session.scopes) == ("shop", frozenset({"push"}))
    assert 0 <= time.time() + 1.5 * 3600 - session.expires < 60


def test_without_a_scope_it_is_a_users_token(capsys: pytest.CaptureFixture[str]) -> None:
    """No user can notify others by mistake."""
    assert main(["token", "--user", "ana"]) == 0
    session = verify_session(capsys.readouterr().out.strip(), key=KEY)
    assert session is not None
    assert session.scopes == frozenset()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--user=", ["--user ''", "1 to 190 bytes"]),
        ("--user=a\u200db", ["--user 'a\\u200db'", "visible"]),
        ("--user=ana --hours=0", ["--hours 0", "more than 0"]),
        ("--user=ana --hours=nan", ["--hours nan", "more than 0"]),
        ("--user=ana --hours=inf", ["--hours inf", "at most"]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    arguments: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With its name, its value and what is allowed, in one line, and no token."""
    assert main(["token", *arguments.split()]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    for word in words:
        assert word in told.err


@pytest.mark.parametrize("flags", ["", "--user=ana --scope=admin", "--user=ana --scop=push", "--user=ana --key=x"])
def test_a_flag_that_does_not_exist_is_refused(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As is an unknown scope; and there is no flag for the key, because other users can see command lines."""
    with pytest.raises(SystemExit, match="2"):
        main(["token", *flags.split()])
    assert capsys.readouterr().out == ""


def test_without_a_key_there_is_no_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The key of a demonstration is random and secret; a key that is too short is refused, and not shown."""
    monkeypatch.delenv("CHAT_KEY")
    monkeypatch.setenv("CHAT_DEMO_LOGIN", "true")
    assert main(["token", "--user", "ana"]) == 1
    monkeypatch.setenv("CHAT_KEY", "hunter2")
    assert main(["token", "--user", "ana"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    missing, short = told.err.splitlines()
    assert "set CHAT_KEY" in missing
    assert "CHAT_KEY" in short
    assert "32" in short
    assert "hunter2" not in short
