"""How a client of these scripts reaches the server: from an address of its own, and not for longer than it takes."""

import smtplib
import ssl

# On a cable of our own an answer comes within milliseconds, or never; a busy machine is given some time.
PATIENCE_SECONDS = 2.0


def smtp(server, address, port, timeout=PATIENCE_SECONDS):
    """An open session, greeted."""
    return smtplib.SMTP(server, port, "client.example.net", timeout, (address, 0))


def secure(client):
    """Begins TLS. Whoever guesses passwords does not look at certificates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.ehlo()
    client.starttls(context=context)
    client.ehlo()


def login(client, user, password):
    """One attempt, with one mechanism: login() would try the same password with each."""
    client.user, client.password = user, password
    try:
        return client.auth("PLAIN", client.auth_plain)[0]
    except smtplib.SMTPAuthenticationError as refused:
        return refused.smtp_code


def outcome(error):
    """What happened, in a word."""
    return "timeout" if isinstance(error, TimeoutError) else "closed"


def leisurely(words):
    """The words without `--pause`, and how long to wait between two things: long enough for somebody who watches."""
    wanted = [word for word in words if word != "--pause"]
    return wanted, 0.0 if wanted == words else 0.3
