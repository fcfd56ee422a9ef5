"""The chat as it is after lesson 03: ``uvicorn notebooks.chat_03:chat``, in the folder that has ``server`` in it."""

import secrets
from typing import Literal

from fastapi import Cookie, Depends, FastAPI, HTTPException, WebSocket

from server.broadcasting import open_outbox
from server.echo import converse
from server.handshake import Handshake
from server.manager import Manager
from server.messages import Error, Message

__all__ = ["chat"]


class Say(Message):
    """What somebody says to everybody in a room, and a command such as ``/join office``."""

    type: Literal["say"] = "say"
    text: str


# the rules


def may_join(user, room):
    """Whether a user may join a room."""
    return room != "office" or user == "ana"


def try_to_join(manager, connection, room):
    """Let a connection into a room, or send it an error."""
    if may_join(connection.user, room):
        manager.join(connection, room)
    else:
        connection.send(Error(expected="a room that is open to you"))


def handle_text(manager, connection, text):
    """Do what a text asks for."""
    if text.startswith("/join "):
        try_to_join(manager, connection, text.removeprefix("/join "))
        return
    for room in connection.rooms:
        manager.to_room(room, Say(text=f"{connection.user}: {text}"))


# the tickets; your login fills `sessions`

chat = FastAPI()
manager = Manager(grace=5)
handshake = Handshake(origins=["https://chat.example"])
sessions = {"k00kie": "ana"}
tickets = {}


@chat.post("/ticket")
async def give_ticket(session: str = Cookie()):
    """Give a ticket to the user of this session."""
    if session not in sessions:
        raise HTTPException(401)
    ticket = secrets.token_urlsafe(16)
    tickets[ticket] = sessions[session]
    return ticket


# the door


@chat.websocket("/ws", dependencies=[Depends(handshake)])
async def door(websocket: WebSocket, ticket: str, device: str = "laptop"):
    """Let a client with a good ticket in, and talk with it until it leaves."""
    user = tickets.pop(ticket, None)
    if user is None:
        raise HTTPException(401)
    outbox = open_outbox(websocket)
    async with manager.register(user, device, outbox) as connection:

        async def on_message(conversation, message):
            handle_text(manager, connection, message.text)

        manager.join(connection, "lobby")
        await converse(websocket, on_message, model=Say, writer=outbox.writer, longest=1000)
