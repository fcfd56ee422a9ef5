"""One example of each message for the AsyncAPI document, built from the models so that it is valid."""

from __future__ import annotations

from ...broker import Position
from ...messages import (
    Ack,
    Announcement,
    Answer,
    AnswerEnd,
    AnswerFailed,
    AnswerText,
    AnswerToolCall,
    Ask,
    ChatMessage,
    Error,
    Inbox,
    IsTyping,
    Join,
    Joined,
    Leave,
    Message,
    Notification,
    Ping,
    Pong,
    Presence,
    Read,
    Reset,
    Resume,
    Say,
    Stop,
    Stored,
    Typing,
    Watch,
    Welcome,
)

__all__ = ["EXAMPLES"]

EPOCH = "mQ3vT9"
SEEN, NOW = Position(EPOCH, 41), Position(EPOCH, 42)
MOMENT = 1_795_386_120.25

_MADE: tuple[Message, ...] = (
    Join(room="lobby", after=SEEN, id=1),
    Leave(room="lobby"),
    Say(room="lobby", text="hello", key="8f1c", id=2),
    Typing(room="lobby"),
    Watch(last=20, id=3),
    Ack(position=NOW),
    Ping(id=4),
    Pong(id=4),
    Welcome(user="ana", device="phone"),
    Joined(room="lobby", position=SEEN, id=1),
    ChatMessage(room="lobby", user="ana", text="hello", position=NOW, time=MOMENT, id=2),
    Presence(room="lobby", count=2, users=("ana", "bo")),
    IsTyping(room="lobby", user="bo"),
    Announcement(text="Look at the teacher's screen"),
    Stored(room="lobby", position=NOW, id=2),
    Reset(room="lobby", position=Position("b7Kx2w", 0)),
    Inbox(position=SEEN, read=SEEN, unread=1, newest=NOW, id=3),
    Notification(
        position=NOW, time=MOMENT, kind="order", text="Your order is on its way", data={"order": 7}, id="order-7"
    ),
    Read(position=NOW, unread=0, newest=NOW),
    Error(field="room", expected="a room that you have joined", id=2),
    Ask(answer="8f1c", prompt="What is a WebSocket?", id=5),
    Resume(answer="8f1c", after=SEEN, id=6),
    Stop(answer="8f1c"),
    Answer(answer="8f1c", prompt="What is a WebSocket?", position=SEEN, id=6),
    AnswerText(answer="8f1c", text=" stays open,", position=NOW),
    AnswerToolCall(answer="8f1c", name="count_words", arguments={"text": "hello"}, position=NOW),
    AnswerFailed(answer="8f1c", reason="interrupted", position=NOW),
    AnswerEnd(answer="8f1c", reason="complete", position=NOW),
)

EXAMPLES: dict[type[Message], Message] = {type(message): message for message in _MADE}
