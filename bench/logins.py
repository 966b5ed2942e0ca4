"""Whether the time of a no tells which users there are: logins.py POSTERN-SMTPD [ATTEMPTS]

Each back end in turn refuses a wrong password of a user that exists and one of a user that does not, in turn, each in a
session of its own. Printed are the medians, and how often the slower of two answers is that about the user who exists: where
nothing can be told, that is one half.
"""

import base64
import os
import signal
import smtplib
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(sys.argv[1])
ATTEMPTS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
CONTEXT = ssl._create_unverified_context()
# What vpopmail makes of "secret".
HASH = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
# As checkpassword programs do: only a user that exists has a hash to be checked.
CHECKPASSWORD = """#!/usr/bin/perl
open(my $in, "<&=3"); my ($user, $password) = split(/\\0/, join("", <$in>));
exit 1 unless $user =~ /^alice/;
exit(crypt($password, '$6$rounds=50000$saltstring') eq 'x' ? 0 : 1);
"""


def run(words, **more):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


class Place:
    """A directory, and the server in it."""

    def __init__(self, auth):
        self.directory = tempfile.TemporaryDirectory()
        self.children = []
        # Dovecot's own processes look into it.
        os.chmod(self.directory.name, 0o755)
        self.write(
            "smtpd.toml",
            'hostname = "mx.example.org"\ndomains = ["example.org"]\ncontrol = "off"\nstate = "state"\nusers = "users"\n'
            'metrics = "off"\n[tls]\nself_signed = true\n[log]\nfile = "log"\n[[listen]]\naddress = "127.0.0.1:0"\n'
            'service = "smtps"\n[auth]\n' + auth,
        )

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def start(self):
        run([PROGRAM, "user", "add", "alice", "--config", self.path("smtpd.toml")], input=b"secret\n")
        server = subprocess.Popen(
            [PROGRAM, "run", "--config", self.path("smtpd.toml")],
            stderr=subprocess.PIPE, text=True, env={**os.environ, "RUST_LOG": "info", "NO_COLOR": "1"},
        )
        self.children.append(server)
        for line in server.stderr:
            if "listening" in line:
                return int(line.split("address=127.0.0.1:")[1].split()[0])
        raise SystemExit("the server did not start")

    def end(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
            child.wait()
        self.directory.cleanup()


def file():
    return Place("")


def checkpassword():
    place = Place('checkpassword = ["./checkpassword", "/bin/true"]\n')
    place.write("checkpassword", CHECKPASSWORD, 0o755)
    place.write("smtpd.toml", open(place.path("smtpd.toml")).read().replace("./", place.directory.name + "/"))
    return place


def vpopmail():
    place = Place('vpopmail = "domains"\n')
    place.write("domains/example.org/x", "")
    value = f"{HASH}:1:0:alice:/x:NOQUOTA"
    run(
        ["cdb", "-c", "-t", place.path("tmp"), place.path("domains/example.org/vpasswd.cdb")],
        input=f"+5,{len(value)}:alice->{value}\n\n".encode(),
    )
    return place


def dovecot():
    place = Place('dovecot = "run/auth-client"\n')
    own = place.directory.name
    place.write("passwd", f"alice@example.org:{{SHA512-CRYPT}}{HASH}\n")
    place.write(
        "dovecot.conf",
        f"base_dir = {own}/run\nstate_dir = {own}/dovecot\nlog_path = {own}/dovecot.log\nprotocols =\nssl = no\n"
        f"passdb {{\n  driver = passwd-file\n  args = {own}/passwd\n}}\n"
        "userdb {\n  driver = static\n  args = uid=65534 gid=65534 home=/nonexistent\n}\n"
        "service auth {\n  unix_listener auth-client {\n    mode = 0666\n  }\n}\nservice anvil {\n  chroot =\n}\n",
    )
    place.children.append(subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", place.path("dovecot.conf")]))
    while not os.path.exists(place.path("run/auth-client")):
        time.sleep(0.05)
    return place


def refused(port, user):
    """How long the answer took."""
    with smtplib.SMTP_SSL("127.0.0.1", port, context=CONTEXT) as client:
        client.ehlo()
        secret = base64.b64encode(f"\0{user}\0guess".encode()).decode()
        start = time.perf_counter()
        code, said = client.docmd("AUTH", "PLAIN " + secret)
        took = time.perf_counter() - start
        assert code == 535, (code, said)
        return took


def measure(name, attempts, make):
    place = make()
    port = place.start()
    # Whoever asks for the first time.
    refused(port, "alice@example.org")
    known, unknown = [], []
    for attempt in range(attempts):
        known.append(refused(port, "alice@example.org"))
        unknown.append(refused(port, f"nobody{attempt}@example.org"))
    place.end()
    slower = sum(one > other for one in known for other in unknown) / len(known) / len(unknown)
    one, other = (statistics.median(times) * 1000 for times in (known, unknown))
    print(f"{name:14}{one:9.2f} ms{other:11.2f} ms{slower:9.2f}", flush=True)


print(f"{'':14}{'user exists':>12}{'does not':>14}{'slower':>9}")
measure("own file", ATTEMPTS, file)
measure("checkpassword", ATTEMPTS, checkpassword)
measure("vpopmail", ATTEMPTS, vpopmail)
# It answers a no after two seconds of its own.
measure("dovecot", max(1, ATTEMPTS // 4), dovecot)
