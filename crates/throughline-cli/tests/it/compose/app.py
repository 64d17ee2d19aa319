"""A service that knows nothing of who watches it: it writes JSON lines to a file and has a page of metrics."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

log = open(sys.argv[1], "a", buffering=1)
began = time.time()
requests = {200: 0, 500: 0}


def say(level, message, **fields):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    log.write(json.dumps({"timestamp": now, "level": level, "message": message, **fields}) + "\n")


class App(BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, json.dumps({"status": "ok", "uptime_s": int(time.time() - began)}))
        elif self.path == "/metrics":
            lines = ["# TYPE requests_total counter"]
            lines += [f'requests_total{{status="{status}"}} {count}' for status, count in requests.items()]
            lines += ["# TYPE uptime_seconds gauge", f"uptime_seconds {time.time() - began:.1f}", ""]
            self.answer(200, "\n".join(lines))
        else:
            self.answer(404, "")

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/process":
            requests[200] += 1
            say("info", "processing task", task=said["task"])
            self.answer(200, json.dumps({"done": said["task"]}))
        elif self.path == "/fail":
            requests[500] += 1
            say("error", "task failed", reason=said["reason"])
            self.answer(500, json.dumps({"error": said["reason"]}))
        else:
            self.answer(404, "")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), App)
say("info", "app ready")
print(server.server_port, flush=True)
server.serve_forever()
