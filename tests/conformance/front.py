"""One address for all of AWS: each request goes on to whoever plays its service, and is noted.

Some requests are answered here instead: with AWS's refusal in the service's own protocol, with nothing at all, or with
an answer that a test has changed.
"""

import http.client
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from judge import Call

#: botocore's names of services that are signed for under another name.
MODELS = {"monitoring": "cloudwatch", "servicequotas": "service-quotas"}

#: Operations of the REST services that are called here, by method and path.
REST = [
    ("lambda", "GET", r"/2015-03-31/functions/[^/]+/configuration", "GetFunctionConfiguration"),
    ("lambda", "GET", r"/2019-09-30/functions/[^/]+/concurrency", "GetFunctionConcurrency"),
    ("lambda", "POST", r"/2015-03-31/functions/[^/]+/invocations", "Invoke"),
    ("backup", "GET", r"/account-settings", "DescribeRegionSettings"),
    ("backup", "GET", r"/backup-vaults/?", "ListBackupVaults"),
    ("backup", "GET", r"/backup-vaults/[^/]+/access-policy", "GetBackupVaultAccessPolicy"),
    ("backup", "GET", r"/backup-vaults/[^/]+/recovery-points/?", "ListRecoveryPointsByBackupVault"),
]


def operation_of(service, method, path, headers, query, body):
    """The operation of a request, as AWS names it."""
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode()))["Action"]
    if service == "s3":
        return "ListObjectsV2" if "list-type" in query else "GetObject"
    known = [name for of, verb, pattern, name in REST if (of, verb) == (service, method) and re.fullmatch(pattern, path)]
    assert len(known) == 1, f"{service} {method} {path}: say here which operation this is"
    return known[0]


def refusal(service, operation, form):
    """AWS's refusal for lack of a permission: status, headers and body."""
    words = f"User: arn:aws:iam::123456789012:user/u is not authorized to perform: {service}:{operation}"
    if service == "ec2":
        body = (f"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{words}</Message></Error></Errors>"
                "<RequestID>r</RequestID></Response>")
        return 403, {"Content-Type": "text/xml"}, body.encode()
    if service == "s3":
        body = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return 403, {"Content-Type": "application/xml"}, body.encode()
    if form:
        code = "AuthorizationError" if service == "sns" else "AccessDenied"
        body = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>"
                "<RequestId>r</RequestId></ErrorResponse>")
        return 403, {"Content-Type": "text/xml"}, body.encode()
    status = 403 if service in ("lambda", "backup") else 400
    body = json.dumps({"__type": "AccessDeniedException", "message": words, "Message": words})
    return status, {"Content-Type": "application/json", "x-amzn-errortype": "AccessDeniedException"}, body.encode()


class Front:
    """Listens on loopback. A context manager.

    `players` are the addresses of who plays a service, by the name that its requests are signed for; `None` stands for
    all others. `invoke` answers Lambda's invocations: status, headers and body for a payload's bytes.
    """

    def __init__(self, players, invoke=None):
        self._players, self._invoke = dict(players), invoke
        self._denied, self._silent, self._changed = set(), set(), {}
        self.calls = []

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def denying(self, *operations):
        """Meanwhile these operations (`sns:GetTopicAttributes`) are refused."""
        self._denied |= set(operations)
        yield
        self._denied -= set(operations)

    @contextmanager
    def silent(self, *services):
        """Meanwhile requests to these services get no answer."""
        self._silent |= set(services)
        yield
        self._silent -= set(services)

    @contextmanager
    def changing(self, operation, change):
        """Meanwhile `change` makes another answer of that of the operation: of its JSON, or of its text. Changes add up."""
        before = self._changed.get(operation, [])
        self._changed[operation] = [*before, change]
        yield
        self._changed[operation] = before

    @contextmanager
    def playing(self, service, url):
        """Meanwhile another plays a service."""
        before = self._players[service]
        self._players[service] = url
        yield
        self._players[service] = before

    @contextmanager
    def invoking(self, invoke):
        """Meanwhile another answers invocations."""
        before, self._invoke = self._invoke, invoke
        yield
        self._invoke = before

    def answer(self, method, target, headers, body):
        """Status, headers and body; None for no answer."""
        url = urlsplit(target)
        path, query = unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True))
        # Credential=KEY/DAY/REGION/SERVICE/aws4_request
        service = headers.get("authorization", "").partition("Credential=")[2].split("/")[3]
        operation = operation_of(service, method, path, headers, query, body)
        form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        name = f"{MODELS.get(service, service)}:{operation}"
        if service in self._silent:
            answered = None
        elif name in self._denied:
            answered = refusal(service, operation, form)
        elif name == "lambda:Invoke" and self._invoke is not None:
            answered = self._invoke(body)
        else:
            answered = self._pass_on(service, method, target, headers, body)
            for change in self._changed.get(name, []):
                answered = _changed(answered, change) if answered[0] == 200 else answered
        status, sent, text = answered or (0, {}, b"")
        self.calls.append(Call(MODELS.get(service, service), operation, method, url.path, url.query, dict(headers), body,
                               status, {key.lower(): value for key, value in sent.items()}, text))
        return answered

    def _pass_on(self, service, method, target, headers, body):
        player = urlsplit(self._players.get(service, self._players[None]))
        connection = http.client.HTTPConnection(player.hostname, player.port, timeout=30)
        passed = {key: value for key, value in headers.items() if key not in ("host", "content-length", "connection")}
        try:
            connection.request(method, target, body, passed | {"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        dropped = ("connection", "content-length", "transfer-encoding", "date", "server")
        return answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in dropped}, text


def _changed(answered, change):
    status, headers, text = answered
    try:
        return status, headers, json.dumps(change(json.loads(text))).encode()
    except ValueError:
        return status, headers, change(text.decode()).encode()


def _handler(front):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            answered = front.answer(self.command, self.path, headers, body)
            self.close_connection = True
            if answered is None:
                return
            status, sent, text = answered
            self.send_response(status)
            for key, value in sent.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = _serve

    return Handler
