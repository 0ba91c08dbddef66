"""A client's connection as conversations: what it says, and every byte it and the others get for it."""

from __future__ import annotations

import pytest

from core.core_room import play

CONVERSATIONS = {
    "INFO comes first, a CONNECT without a word is verbose and pedantic": r"""
        A> CONNECT {}
        A< INFO
        A< +OK
        A> SUB a 1
        A> PUB a 2
        A> hi
        A> PUB a..b 0
        A>
        A> UNSUB 1
        A> PING
        A< +OK
        A< +OK
        A< MSG a 1 2
        A< hi
        A< -ERR 'Invalid Publish Subject'
        A< +OK
        A< +OK
        A< PONG
        """,
    "without CONNECT everything works, verbose and pedantic": r"""
        A> SUB a 1
        A> PUB a 0
        A>
        A> PING
        A< INFO
        A< +OK
        A< +OK
        A< MSG a 1 0
        A<
        A< PONG
        """,
    "the second INFO follows the first PONG, once": r"""
        A+
        A> PING
        A> PING
        A< PONG
        A< INFO connect_info
        A< PONG
        A> PING
        A< PONG
        B+ {"protocol": 0}
        B> PING
        B< PONG
        """,
    "pedantic minds the subject and delivers": r"""
        B+
        B> SUB foo.> 1
        A+ {"pedantic": true}
        A> PUB foo.* 1
        A> x
        A> PUB foo.* 1
        A> y
        A> PUB foo.bar* 1
        A> z
        A> PUB .foo 0
        A>
        A< -ERR 'Invalid Publish Subject'
        A< -ERR 'Invalid Publish Subject'
        A< -ERR 'Invalid Publish Subject'
        B< MSG foo.* 1 1
        B< x
        B< MSG foo.* 1 1
        B< y
        B< MSG foo.bar* 1 1
        B< z
        """,
    "echo off: nothing of one's own": r"""
        A+ {"echo": false}
        B+
        A> SUB a 1
        A> SUB a q 2
        B> SUB a 7
        A> PUB a 1
        A> x
        B< MSG a 7 1
        B< x
        B> PUB a 1
        B> y
        A< MSG a 1 1
        A< y
        A< MSG a 2 1
        A< y
        B< MSG a 7 1
        B< y
        """,
    "UNSUB with a maximum ends with that message": r"""
        A+
        A> SUB a 1
        A> UNSUB 1 2
        A> PUB a 1
        A> x
        A> PUB a 1
        A> y
        A> PUB a 1
        A> z
        A< MSG a 1 1
        A< x
        A< MSG a 1 1
        A< y
        A> SUB a 1
        A> PUB a 1
        A> x
        A< MSG a 1 1
        A< x
        A> UNSUB 1 1
        A> PUB a 1
        A> x
        """,
    "UNSUB of nobody, and a maximum that is no number": r"""
        A+ {"verbose": true}
        A< +OK
        A> UNSUB 9
        A> UNSUB 9 4
        A> SUB a 1
        A> UNSUB 1 many
        A> PUB a 0
        A>
        A< +OK
        A< +OK
        A< +OK
        A< +OK
        A< +OK
        """,
    "a sid that is taken: the first one stays": r"""
        A+ {"verbose": true}
        A< +OK
        A> SUB a 1
        A> SUB b 1
        A< +OK
        A< +OK
        B+
        B> PUB b 0
        B>
        B> PUB a 0
        B>
        A< MSG a 1 0
        A<
        """,
    "one member of a queue group": r"""
        A+
        A> SUB a q 1
        A> SUB a q 2
        A> UNSUB 2
        A> SUB *.b q 3
        B+
        B> SUB a other 1
        B> PUB a 1
        B> x
        A< MSG a 1 1
        A< x
        B< MSG a 1 1
        B< x
        """,
    "nobody answers: 503 on one's own plain subscription": r"""
        A+
        A> PUB a inbox.1 0
        A>
        A> SUB inbox.* q 1
        A> PUB a inbox.1 0
        A>
        A> SUB inbox.* 2
        A> PUB a inbox.1 0
        A>
        A> PUB a 0
        A>
        A< HMSG inbox.1 2 33 33
        A< NATS/1.0 503
        A< Nats-Subject: a
        A<
        A<
        B+ {"no_responders": false}
        B> SUB inbox.* 2
        B> PUB a inbox.1 0
        B>
        """,
    "headers, for those who have them": r"""
        A+
        B+ {"headers": false, "no_responders": false}
        A> SUB a 1
        B> SUB a 2
        A> HPUB a r 18 20
        A> NATS/1.0
        A> A: 1
        A>
        A> hi
        A< HMSG a 1 r 18 20
        A< NATS/1.0
        A< A: 1
        A<
        A< hi
        B< MSG a 2 r 2
        B< hi
        B> HPUB a 0 2
        B! Protocol Violation
        """,
    "a reply is passed on, blanks are not": r"""
        A+
        A> SUB  a.>\t  1
        A> PUB\ta.b\t reply.to  \t 2
        A> hi
        A< MSG a.b 1 reply.to 2
        A< hi
        """,
    "bytes in pieces, a payload over several of them": r"""
        A+
        A~ SUB a
        A~  1\r
        A~ \nPUB a 1
        A~ 0\r\nab\r\n
        A~ PING\r\n\r
        A~ \n
        A< MSG a 1 10
        A< ab
        A< PING
        A<
        """,
    "reserved subjects": r"""
        A+
        A> PUB _GR_.x 0
        A>
        A> PUB $NRG.x 0
        A>
        A> PUB a _R_.x 0
        A>
        A> PUB a $JS.ACK.x 0
        A>
        A> PUB a _GR_.x 0
        A>
        A> SUB a _sys_ 1
        A> PING
        A< -ERR 'Permissions Violation for Publish to "_GR_.x"'
        A< -ERR 'Permissions Violation for Publish to "$NRG.x"'
        A< -ERR 'Permissions Violation for Publish with Reply of "_R_.x"'
        A< -ERR 'Permissions Violation for Publish with Reply of "$JS.ACK.x"'
        A< -ERR 'Permissions Violation for Publish with Reply of "_GR_.x"'
        A< -ERR 'Permissions Violation for Subscription to "a" using queue "_sys_"'
        A< PONG
        A< INFO connect_info
        """,
    "subjects that may not be subscribed to": r"""
        A+
        A> SUB a..b 1
        A> SUB .a 2
        A> SUB a. 3
        A> SUB a.>.b 4
        A> SUB f>o.ba* 5
        A> PUB f>o.ba* 0
        A>
        A< -ERR 'Invalid Subject'
        A< -ERR 'Invalid Subject'
        A< -ERR 'Invalid Subject'
        A< -ERR 'Invalid Subject'
        A< MSG f>o.ba* 5 0
        A<
        """,
    "a second CONNECT forgets the subscriptions": r"""
        A+
        A> SUB a 1
        A> CONNECT {"verbose":true}
        A> PUB a 0
        A>
        A< +OK
        A< +OK
        """,
    "CONNECT that is not JSON": r"""
        A> CONNECT {"verbose"
        A< INFO
        A! Protocol Violation
        """,
    "CONNECT with the wrong type": r"""
        A> CONNECT {"verbose":"yes"}
        A< INFO
        A! Protocol Violation
        """,
    "a protocol nobody knows": r"""
        A> CONNECT {"protocol":2,"verbose":false}
        A< INFO
        A< -ERR 'invalid client protocol'
        A! Bad Client Protocol Version
        """,
    "no responders without headers": r"""
        A> CONNECT {"no_responders":true}
        A< INFO
        A< -ERR 'no responders requires headers support'
        A! No Responders Requires Headers
        """,
    "an account": r"""
        A> CONNECT {"account":"X"}
        A< INFO
        A< -ERR 'Authorization Violation'
        A! Authentication Failure
        """,
    "nonsense ends the connection, what came before it stands": r"""
        A+
        A> SUB a 1
        A> PUB a 1
        A> x
        A> NONSENSE
        A> PUB a 1
        A> y
        A< MSG a 1 1
        A< x
        A< -ERR 'Unknown Protocol Operation'
        A! Protocol Violation
        """,
    "-ERR of a client": r"""
        A+
        A> -ERR 'you are wrong'
        A! Parse Error
        """,
    "INFO of a client is read and forgotten": r"""
        A+
        A> INFO {"a":1}
        A> PING
        A< PONG
        A< INFO connect_info
        A> INFO nonsense
        A! Protocol Violation
        """,
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation(name: str) -> None:
    play(CONVERSATIONS[name])
