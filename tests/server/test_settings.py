"""The settings: what they are by default, where they come from, and what is refused."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr, ValidationError
from uvicorn.importer import import_from_string

from server.settings import Settings
from server.wire.protocol import FanoutProtocol

SECRET = "a secret of thirty-two characters"
LIMITS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float, float | None)]
UNITS = "(Seconds|Bytes|Frames|Messages|Notifications|Connections|Devices|Rooms|Logins|Tickets|Tokens|Answers) "


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has none but those of a test."""
    for name in [name for name in os.environ if name.startswith("CHAT_")]:
        monkeypatch.delenv(name)


def test_defaults_are_complete() -> None:
    """Everything but the key has a default, and the demo login is off."""
    settings = Settings()
    assert settings.key is None
    assert settings.demo_login is False


def test_every_setting_says_what_it_is_and_in_which_unit() -> None:
    """The description of a limit names what is counted."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
    for name in LIMITS:
        text = Settings.model_fields[name].description or ""
        assert re.match(UNITS, text), name


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "many"])
def test_a_limit_is_a_number_above_zero(name: str, value: Any) -> None:
    """What could be no limit is refused when the server starts, not when a client finds out."""
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_only_the_grace_time_may_be_zero() -> None:
    """Zero of anything else would let nobody in."""
    allowed = []
    for name in LIMITS:
        try:
            Settings.model_validate({name: 0})
        except ValidationError:
            continue
        allowed.append(name)
    assert allowed == ["grace_seconds"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``CHAT_…``, lists as JSON; what is given by name counts more."""
    monkeypatch.setenv("CHAT_KEY", SECRET)
    monkeypatch.setenv("CHAT_CONNECTIONS", "7")
    monkeypatch.setenv("CHAT_IDLE_SECONDS", "2.5")
    monkeypatch.setenv("CHAT_ORIGINS", '["https://example.com"]')
    settings = Settings(connections=8)
    assert settings.key == SecretStr(SECRET)
    assert (settings.connections, settings.idle_seconds) == (8, 2.5)
    assert settings.origins == ("https://example.com",)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    """A typing error in a name is no silent default."""
    with pytest.raises(ValidationError, match="conections"):
        Settings(conections=3)  # type: ignore[call-arg]


def test_a_short_key_is_refused_and_not_shown() -> None:
    """A key that can be guessed is worse than none; and an error message is read by many."""
    with pytest.raises(ValidationError) as refused:
        Settings(key=SecretStr("hunter2"))
    assert "32" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_key_is_not_shown() -> None:
    """Neither by print nor in a log."""
    assert SECRET not in f"{Settings(key=SecretStr(SECRET))!r}"


def test_uvicorn_gets_the_limits_that_only_it_can_enforce() -> None:
    """Refuse a message before it is held in memory, and send one frame to many connections."""
    options = Settings(message_bytes=100).uvicorn_options
    assert options["ws_max_size"] == 100
    assert uvicorn.Config("app", **options).ws_per_message_deflate is False
    assert issubclass(import_from_string(options["ws"]), FanoutProtocol)


@pytest.mark.parametrize(
    ("broker", "inboxes"),
    [
        ("memory:", "memory:"),
        ("sqlite:data/chat.sqlite", "sqlite:data/chat-inboxes.sqlite"),
        ("sqlite:chat", "sqlite:chat-inboxes"),
        ("valkey://me:pw@host:1/2", "valkey://me:pw@host:1/2?prefix=chat-inboxes"),
        ("rediss://host?prefix=shop&x=1", "rediss://host?prefix=shop-inboxes&x=1"),
    ],
)
def test_inboxes_have_a_place_of_their_own(broker: str, inboxes: str) -> None:
    """Next to what is said, unless they are given another: their limits are not those of the rooms."""
    assert Settings(broker=broker).inbox_url == inboxes
    assert Settings(broker=broker, inboxes="memory:").inbox_url == "memory:"
