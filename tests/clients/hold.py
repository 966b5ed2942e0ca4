"""Holds a session open and silent, and says how it ends: hold.py SERVER ADDRESS"""

import socket
import sys

server, address = sys.argv[1:]
with socket.create_connection((server, 25), timeout=30, source_address=(address, 0)) as stream:
    assert stream.recv(1000).startswith(b"220")
    print("held", flush=True)
    try:
        print("said more" if stream.recv(1000) else "ended", flush=True)
    except TimeoutError:
        print("still held", flush=True)
    except ConnectionError:
        print("ended", flush=True)
