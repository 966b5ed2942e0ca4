"""Asks for recipients of a mail that is never sent: harvest.py SERVER ADDRESS RECIPIENT... [--pause]

Three in a session: a server slows down who errs more often.
"""

import smtplib
import sys
import time

import connect

IN_A_SESSION = 3

(server, address, *recipients), pause = connect.leisurely(sys.argv[1:])
while recipients:
    some, recipients = recipients[:IN_A_SESSION], recipients[IN_A_SESSION:]
    try:
        with connect.smtp(server, address, 25) as client:
            client.ehlo()
            client.mail("news@example.net")
            for recipient in some:
                print(client.rcpt(recipient)[0], flush=True)
                time.sleep(pause)
    except (OSError, smtplib.SMTPException) as error:
        print(connect.outcome(error), flush=True)
        if isinstance(error, TimeoutError):
            break
