"""A mail server that notes what it is given: who sent it to whom, its headers, its parts."""
import asyncore, email, email.policy, json, smtpd, sys

port, out = int(sys.argv[1]), sys.argv[2]


class Server(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **_):
        mail = email.message_from_bytes(data, policy=email.policy.default)
        parts = [(part.get_content_type(), part.get_filename(), part.get_payload(decode=True).decode()) for part in mail.iter_parts()]
        noted = {"from": mailfrom, "to": rcpttos, "headers": dict(mail.items()), "parts": parts, "defects": len(mail.defects)}
        with open(out, "a") as file:
            file.write(json.dumps(noted) + "\n")


Server(("127.0.0.1", port), None)
print("ready", flush=True)
asyncore.loop()
