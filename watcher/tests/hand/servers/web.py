"""A web server that notes what is posted to it, and says no the first time. Over TLS where it is given a certificate."""
import hashlib, hmac, http.server, json, ssl, sys

port, out, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
refused = False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global refused
        body = self.rfile.read(int(self.headers["content-length"]))
        if not refused:
            refused = True
            self.send_error(503)
            return
        signed = self.headers["x-postern-timestamp"].encode() + b"." + body
        right = "sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
        noted = {"signed": self.headers["x-postern-signature"] == right, "path": self.path, "body": json.loads(body)}
        with open(out, "a") as file:
            file.write(json.dumps(noted) + "\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", port), Handler)
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
