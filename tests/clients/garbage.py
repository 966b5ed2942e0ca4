"""Talks no SMTP at all, and prints the code of each reply until the server hangs up: garbage.py SERVER ADDRESS [FIRST]

FIRST is said before all the rest."""

import socket
import sys

import connect

TALK = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    b"\x00\x00\x00\r\n",
    b"\xff\xfe\xfd\r\n",
    b"SSH-2.0-OpenSSH_9.2p1\r\n",
    b"X" * 4000 + b"\r\n",
    b"\x1b[2J\x1b[31mhello\r\n",
    b"*1\r\n$4\r\n",
    b"helo\trcpt mail\r\n",
    b"MAIL FROM:<\r\n",
]

server, address, *first = sys.argv[1:]
with socket.create_connection((server, 25), timeout=60, source_address=(address, 0)) as stream:
    replies = stream.makefile("rb")
    assert replies.readline().startswith(b"220")
    # A server that hangs up may do so before everything is sent.
    try:
        while True:
            for line in [*(text.encode() + b"\r\n" for text in first), *TALK]:
                stream.sendall(line)
                for _ in range(line.count(b"\n")):
                    reply = replies.readline()
                    if not reply:
                        sys.exit()
                    print(reply[:3].decode(), flush=True)
    except ConnectionError:
        pass
