"""Tries passwords for a user, each in a session of its own: guess.py SERVER ADDRESS USER PASSWORD... [--pause]"""

import smtplib
import sys
import time

import connect

(server, address, user, *passwords), pause = connect.leisurely(sys.argv[1:])
for password in passwords:
    try:
        with connect.smtp(server, address, 587) as client:
            connect.secure(client)
            print(connect.login(client, user, password), flush=True)
    except (OSError, smtplib.SMTPException) as error:
        print(connect.outcome(error), flush=True)
        if isinstance(error, TimeoutError):
            break
    time.sleep(pause)
