"""A Lambda Runtime API on loopback that runs the real bootstrap, one event at a time.

AWS's "Using the Lambda runtime API" describes the protocol: the runtime asks `next`, gets the
event with the deadline as epoch milliseconds, and posts its response or its error, both of which
are answered with 202.
"""

import json
import queue
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/2018-06-01/runtime/"


class FunctionError(Exception):
    """The function reported an error for an event."""


#: template.yaml's Timeout, in seconds: how much time the function is told that it has.
LAMBDA_TIMEOUT = 900


class Runtime:
    """Runs `bootstrap` with the given environment; `invoke` hands it events and waits `timeout` seconds at most.

    Used as a context manager: the process is ended with it.
    """

    def __init__(self, bootstrap, environment, timeout=60):
        self._bootstrap = bootstrap
        self._environment = environment
        self._timeout = timeout
        self._events = queue.Queue()
        self._answers = queue.Queue()
        self.log = []

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{self._server.server_address[1]}"
        self._process = subprocess.Popen(
            [self._bootstrap],
            env={"AWS_LAMBDA_RUNTIME_API": address} | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read_log, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._events.put(None)
        self._server.shutdown()

    def _read_log(self):
        for line in self._process.stdout:
            self.log.append(line.rstrip("\n"))

    def invoke(self, event):
        """Hands the event to the function and returns its response.

        Raises FunctionError when the function reports an error, exits or does not answer in time.
        """
        request_id = str(uuid.uuid4())
        self._events.put((request_id, event))
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            try:
                kind, answered, body = self._answers.get(timeout=0.2)
            except queue.Empty:
                if self._process.poll() is not None:
                    raise FunctionError(f"exited with {self._process.returncode}\n{self.tail()}")
                continue
            if kind == "response" and answered == request_id:
                return json.loads(body or b"null")
            raise FunctionError(f"{kind} for {answered}: {body.decode()}\n{self.tail()}")
        raise FunctionError(f"no answer in {self._timeout} s\n{self.tail()}")

    def tail(self):
        """The end of the function's log, for messages."""
        return "\n".join(self.log[-40:])


def _handler(runtime):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path != PREFIX + "invocation/next":
                return self._answer(404, {"errorMessage": f"no such path {self.path}"})
            item = runtime._events.get()
            if item is None:
                return None
            request_id, event = item
            function = runtime._environment["AWS_LAMBDA_FUNCTION_NAME"]
            return self._answer(200, event, {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + LAMBDA_TIMEOUT) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn":
                    f"arn:aws:lambda:eu-central-1:222222222222:function:{function}",
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            })

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            parts = self.path.removeprefix(PREFIX).split("/")
            if parts[0] == "init":
                runtime._answers.put(("init error", None, body))
            elif len(parts) == 3 and parts[0] == "invocation" and parts[2] in ("response", "error"):
                runtime._answers.put((parts[2], parts[1], body))
            else:
                return self._answer(404, {"errorMessage": f"no such path {self.path}"})
            return self._answer(202, {"status": "OK"})

        def _chunks(self):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status, value, headers=None):
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
