"""A day at the gate in half a minute: botnet.py SERVER SERVER6 SEED

More than sixty addresses, each with a character, all at once. The seed decides who does what; only the order in which
the server hears them is left to chance. Prints a line for each client: its address, its character, its replies.
"""

import random
import smtplib
import socket
import sys
import threading
import time
from email.message import EmailMessage
from email.utils import make_msgid

import connect

USERS = {"alice": "correct horse", "bob": "battery staple"}
NAMES = "info sales admin office support billing jobs press hr it web test shop mail news legal".split()
# Once it hears nothing for so long, a bot takes it that it is shut out.
PATIENCE_SECONDS = 1.0

server, server6, seed = sys.argv[1:]


class Bot(threading.Thread):
    """One address."""

    def __init__(self, address, character, chance):
        super().__init__(name=f"{address} {character.__name__}")
        self.address, self.character, self.chance = address, character, chance
        self.replies = []

    def run(self):
        try:
            self.rest(0, 2)
            self.character(self)
        except TimeoutError:
            self.replies.append("shut-out")
        except (OSError, smtplib.SMTPException):
            self.replies.append("cut-off")

    def rest(self, low, high):
        time.sleep(self.chance.uniform(low, high))

    def session(self, port=25):
        return connect.smtp(server6 if ":" in self.address else server, self.address, port, PATIENCE_SECONDS)

    def note(self, code):
        self.replies.append(str(code))
        return code

    def attempt(self, user, password):
        """One login in a session of its own. The server may be busy with others' passwords: then once more."""
        for _ in range(5):
            with self.session(587) as client:
                connect.secure(client)
                client.sock.settimeout(20)
                code = self.note(connect.login(client, user, password))
            if code != 454:
                return code
            self.rest(0.1, 0.5)
        return 454

    def password(self):
        return "".join(self.chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))

    def send(self, client, sender, recipients, subject, text):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, ", ".join(recipients), subject
        message["Message-ID"] = make_msgid(str(self.chance.randrange(10**9)), "client.example.net")
        message.set_content(text)
        refused = client.send_message(message, sender, recipients)
        self.note(f"sent-{len(recipients) - len(refused)}")


def fast_guesser(bot):
    user = bot.chance.choice([*USERS, "root", "admin@example.org"])
    for _ in range(bot.chance.randint(6, 9)):
        bot.attempt(user, bot.password())


def slow_guesser(bot):
    for _ in range(7):
        bot.attempt(bot.chance.choice(NAMES), bot.password())
        bot.rest(0.5, 1.2)


def patient_guesser(bot):
    for _ in range(4):
        bot.attempt("alice", bot.password())
        bot.rest(0.2, 1)


def harvester(bot):
    names = [f"{bot.chance.choice(NAMES)}{n}@example.org" for n in range(14)]
    while names:
        with bot.session() as client:
            client.ehlo(f"host{bot.chance.randrange(100)}.example.com")
            client.mail("newsletter@example.com")
            for _ in range(3):
                bot.note(client.rcpt(names.pop())[0] if names else "done")


def shy_harvester(bot):
    for n in range(3):
        with bot.session() as client:
            client.ehlo()
            client.mail("hello@example.com")
            for name in NAMES[3 * n : 3 * n + 3]:
                bot.note(client.rcpt(f"{name}@example.org")[0])


def relay_probe(bot):
    with bot.session() as client:
        client.helo("probe")
        client.mail("spam@example.com")
        for n in range(3):
            bot.note(client.rcpt(f"check{n}@example.com")[0])


def garbage_talker(bot):
    forged = [
        b"tcpserver: pid 1 from 203.0.113.66\r\n",
        b"GET / HTTP/1.1\r\n",
        b"EHLO x|remotehostip:203.0.113.66> rcpt <z> : not existing recipient\r\n",
        b"MAIL FROM:<\"a from 203.0.113.66 to b helo c\"@example.com>\r\n",
        b"\x1b[31m\x00\xff\r\n",
        b"X" * 600 + b"\r\n",
    ]
    with socket.create_connection((server, 25), timeout=20, source_address=(bot.address, 0)) as stream:
        replies = stream.makefile("rb")
        bot.note(replies.readline()[:3].decode())
        for line in bot.chance.sample(forged, 4):
            stream.sendall(line)
            bot.note(replies.readline()[:3].decode())


def customer(bot):
    user, password = bot.chance.choice(sorted(USERS.items()))
    for _ in range(bot.chance.randint(0, 2)):
        bot.attempt(user, password.upper())
        bot.rest(0.2, 0.6)
    with bot.session(587) as client:
        connect.secure(client)
        client.sock.settimeout(20)
        bot.note(connect.login(client, user, password))
        other = next(name for name in USERS if name != user)
        bot.send(client, f"{user}@example.org", [f"{other}@example.org"], "Lunch?", "At one, as always.\n")


def phone(bot):
    for _ in range(7):
        bot.attempt("bob", "last year's password")
        bot.rest(0.1, 0.4)


def mailing_list(bot):
    with bot.session() as client:
        client.ehlo("lists.example.net")
        client.sock.settimeout(20)
        members = ["alice@example.org", "bob@example.org", "gone@example.org", "left@example.org"]
        bot.send(client, f"list-{bot.chance.randrange(100)}@example.net", members, "[list] Minutes", "See below.\n" * 5)


CHARACTERS = [
    (fast_guesser, 13),
    (slow_guesser, 5),
    (patient_guesser, 5),
    (harvester, 8),
    (shy_harvester, 4),
    (relay_probe, 5),
    (garbage_talker, 6),
    (customer, 9),
    (phone, 4),
    (mailing_list, 4),
]


def main():
    chance = random.Random(int(seed))
    characters = [character for character, count in CHARACTERS for _ in range(count)]
    hosts = chance.sample(range(2, 254), len(characters))
    networks = ["198.51.100", "203.0.113"]
    bots = [
        Bot(f"{networks[n % 2]}.{host}", character, random.Random(chance.random()))
        for n, (host, character) in enumerate(zip(hosts, characters))
    ]
    # Two hosts of one /64 that share the work, one of another that is banned alone, and a neighbour that does no harm.
    sixes = [(1, 1, patient_guesser), (1, 2, patient_guesser), (2, 1, fast_guesser), (3, 1, customer)]
    bots += [
        Bot(f"2001:db8:bad:{network}::{host}", character, random.Random(chance.random()))
        for network, host, character in sixes
    ]
    for bot in bots:
        bot.start()
    for bot in bots:
        bot.join()
        print(bot.name, *bot.replies)


main()
