"""Asks for recipients in one session, with a mail that is never sent: harvest.py SERVER ADDRESS RECIPIENT..."""

import smtplib
import sys

import connect

server, address, *recipients = sys.argv[1:]
try:
    with connect.smtp(server, address, 25) as client:
        client.ehlo()
        client.mail("news@example.net")
        for recipient in recipients:
            print(client.rcpt(recipient)[0], flush=True)
except (OSError, smtplib.SMTPException) as error:
    print(connect.outcome(error), flush=True)
