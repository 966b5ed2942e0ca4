"""Whether the server greets: greeted.py SERVER ADDRESS PORT. Exits 1 where nothing comes back."""

import sys

import connect

server, address, port = sys.argv[1:]
try:
    connect.smtp(server, address, int(port), timeout=1.0).quit()
except TimeoutError:
    sys.exit(1)
