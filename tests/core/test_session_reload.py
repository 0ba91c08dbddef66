"""A reloaded configuration and the clients that are connected: who may stay, and which limits hold from then on."""

from __future__ import annotations

import json

from broker.config import AuthorizationOptions, Options, UserOptions
from core.core_room import Room


def guarded(*users: str, token: str = "") -> AuthorizationOptions:
    """Users as `name:password`."""
    return AuthorizationOptions(token=token, users=[UserOptions(*user.split(":")) for user in users])


def test_who_would_not_be_let_in_today_has_to_go() -> None:
    room = Room(Options(authorization=guarded("a:1", "b:2", "c:3")))
    for name in "abc":
        room.connect(name, user=name, **{"pass": str("abc".index(name) + 1)})
    room.clients.reload(Options(authorization=guarded("a:1", "b:new")))
    room.turn()
    assert room.ended == {"b": "Authentication Failure", "c": "Authentication Failure"}
    assert b"-ERR 'Authorization Violation'\r\n" in room.take("b")
    room.connect("d", user="b", **{"pass": "new"})
    assert "d" not in room.ended


def test_a_changed_token_ends_those_who_came_with_the_old_one() -> None:
    room = Room(Options(authorization=guarded(token="old")))
    room.connect("a", auth_token="old")
    room.clients.reload(Options(authorization=guarded(token="old")))
    room.turn()
    assert room.ended == {}
    room.clients.reload(Options(authorization=guarded(token="new")))
    room.turn()
    assert room.ended == {"a": "Authentication Failure"}


def test_nobody_is_asked_any_more() -> None:
    room = Room(Options(authorization=guarded("a:1")))
    room.connect("a", user="a", **{"pass": "1"})
    room.clients.reload(Options())
    room.turn()
    room.open("b")
    assert b'"auth_required"' not in room.take("b")
    assert room.ended == {}


def test_a_smaller_payload_holds_for_clients_that_are_connected() -> None:
    room = Room()
    room.connect("a")
    line = b"PUB subject 8\r\n12345678\r\n"
    room.send("a", line + line)
    room.clients.reload(Options(max_payload=7))
    room.send("a", line)
    assert b"Maximum Payload Violation" in room.take("a")
    assert room.ended == {"a": "Maximum Message Payload Exceeded"}


def test_fewer_connections_close_the_youngest() -> None:
    room = Room()
    for name in "abc":
        room.connect(name)
    room.clients.reload(Options(max_connections=2))
    room.turn()
    assert room.ended == {"c": "Maximum Connections Exceeded"}


def test_newcomers_are_told_the_address_that_is_advertised() -> None:
    room = Room(Options(host="0.0.0.0", port=4222))
    for number, (advertised, told) in enumerate(
        [("", ("0.0.0.0", 4222)), ("a:5", ("a", 5)), ("a", ("a", 4222)), ("[::1]:7", ("::1", 7))]
    ):
        room.clients.reload(Options(host="0.0.0.0", port=4222, client_advertise=advertised))
        room.open(str(number))
        info = json.loads(room.take(str(number))[5:])
        assert (info["host"], info["port"]) == told
