#!/usr/bin/env python3
"""Approves private endpoint connections from subscriptions that are customers: a webhook receiver in 100 lines.

plnatd sends each event, signed as https://www.standardwebhooks.com says; this program verifies it, and approves through
the resource API what a customer asks for. Everything else is left for people.

    [[webhook]]                                  [[principal]]
    name = "approve"                             name = "approve"
    url = "http://127.0.0.1:8080/"               subscriptions = ["provider"]
    secret_file = "/etc/plnat/approve.secret"    roles = ["provider"]
    events = ["connection.requested"]            tokens = ["sha256:..."]
    subscriptions = ["provider"]

    approve.py --port 8080 --secret-file /etc/plnat/approve.secret --server https://127.0.0.1:8443 \\
               --ca-file /var/lib/plnat/tls/ca.pem --token-file token contoso fabrikam
"""

import argparse
import base64
import collections
import hashlib
import hmac
import http.server
import json
import ssl
import time
import urllib.request

TOLERANCE = 300  # seconds that the sender's clock may differ
seen = collections.deque(maxlen=10_000)


def verified(secret, headers, body):
    """Whether the body comes from who knows the secret, lately, and for the first time."""
    event, when = headers["webhook-id"], headers["webhook-timestamp"]
    if not event or not when or not when.isdigit() or abs(time.time() - int(when)) > TOLERANCE:
        return False
    signed = hmac.new(secret, f"{event}.{when}.".encode() + body, hashlib.sha256).digest()
    good = "v1," + base64.b64encode(signed).decode()
    return any(hmac.compare_digest(good, given) for given in (headers["webhook-signature"] or "").split())


def approve(options, connection):
    """Asks the API for the connection, and gives it back approved."""
    path = f"{connection['privateLinkService']}/privateEndpointConnections/{connection['connection']}"
    state = {"status": "Approved", "description": f"customer {connection['consumerSubscription']}"}
    request = urllib.request.Request(
        f"{options.server}{path}?api-version=2024-05-01",
        data=json.dumps({"properties": {"privateLinkServiceConnectionState": state}}).encode(),
        method="PUT",
        headers={"Authorization": f"Bearer {options.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20, context=options.tls) as answer:
        return answer.status


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers 2xx for what needs not come again, 5xx for what should."""

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers["content-length"] or 0), 1 << 20))
        if not verified(self.server.options.secret, self.headers, body):
            return self.answer(401)
        event = json.loads(body)
        if event["id"] not in seen and event["type"] == "connection.requested":
            connection = event["data"]
            wanted = connection["state"] == "Pending"
            if wanted and connection["consumerSubscription"] in self.server.options.customers:
                try:
                    approve(self.server.options, connection)
                except OSError as error:
                    print(f"{connection['connection']}: {error}; it will come again", flush=True)
                    return self.answer(503)
                print(f"approved {connection['connection']}", flush=True)
        seen.append(event["id"])
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--ca-file", help="authorities instead of the system's")
    parser.add_argument("customers", nargs="+", help="subscriptions")
    options = parser.parse_args()
    with open(options.secret_file) as file:
        options.secret = base64.b64decode(file.readline().strip().removeprefix("whsec_"))
    with open(options.token_file) as file:
        options.token = file.read().strip()
    options.tls = None
    if options.server.startswith("https:"):
        options.tls = ssl.create_default_context(cafile=options.ca_file)
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Receiver)
    receiver.options = options
    print("ready", flush=True)
    receiver.serve_forever()


if __name__ == "__main__":
    main()
