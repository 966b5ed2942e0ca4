"""Logs in and sends a mail: send.py SERVER ADDRESS USER PASSWORD RECIPIENT SUBJECT"""

import sys
from email.message import EmailMessage
from email.utils import make_msgid

import connect

server, address, user, password, recipient, subject = sys.argv[1:]
message = EmailMessage()
message["From"], message["To"], message["Subject"] = f"{user}@example.org", recipient, subject
message["Message-ID"] = make_msgid(domain="client.example.net")
message.set_content("At one, as always?\n")
with connect.smtp(server, address, 587, timeout=20) as client:
    connect.secure(client)
    assert connect.login(client, user, password) == 235
    client.send_message(message)
