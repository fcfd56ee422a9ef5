"""The messages of the wire protocol, and the close codes."""

from .answers import (
    Answer,
    AnswerEnd,
    AnswerFailed,
    AnswerName,
    AnswersIn,
    AnswerText,
    AnswerToolCall,
    Ask,
    Resume,
    Stop,
)
from .close_codes import CloseCode, cut_reason
from .incoming import Ack, ChatIn, Join, Leave, Ping, Say, Typing, Watch
from .message import Error, Message, Place, RoomName
from .outgoing import (
    Announcement,
    ChatMessage,
    Inbox,
    IsTyping,
    Joined,
    Notification,
    Pong,
    Presence,
    Read,
    Reset,
    Stored,
    Welcome,
)
from .parsing import parse
from .position import Position

__all__ = [
    "Ack",
    "Announcement",
    "Answer",
    "AnswerEnd",
    "AnswerFailed",
    "AnswerName",
    "AnswerText",
    "AnswerToolCall",
    "AnswersIn",
    "Ask",
    "ChatIn",
    "ChatMessage",
    "CloseCode",
    "Error",
    "Inbox",
    "IsTyping",
    "Join",
    "Joined",
    "Leave",
    "Message",
    "Notification",
    "Ping",
    "Place",
    "Pong",
    "Position",
    "Presence",
    "Read",
    "Reset",
    "Resume",
    "RoomName",
    "Say",
    "Stop",
    "Stored",
    "Typing",
    "Watch",
    "Welcome",
    "cut_reason",
    "parse",
]
