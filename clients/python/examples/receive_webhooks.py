"""Be told that a box moved: `python receive_webhooks.py <address> <port> <whpk_…> […]`, behind a TLS proxy.

It holds no keys of the agency and reads nothing: it wakes whoever does.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from countermark_client import webhooks
from countermark_protocol.errors import CountermarkError

address, port, *keys = sys.argv[1:]


class Receiver(BaseHTTPRequestHandler):
    """Takes what the broker signed for this address, and nothing else."""

    timeout = 10

    def do_POST(self) -> None:
        """Check one call."""
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 4096))
        try:
            look = webhooks.verify(self.headers.items(), body, keys, endpoint=address)
        except CountermarkError as error:
            print(f"not taken: {error}", flush=True)
            self.send_error(400)
            return
        self.send_response(204)
        self.end_headers()
        print(f"look into {look.box}", flush=True)  # here: wake who reads it, e.g. a systemd unit or a queue


ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver).serve_forever()
