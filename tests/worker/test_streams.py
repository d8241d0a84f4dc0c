"""Connections of a job, which travel as frames to a real HTTP server behind the host."""

import contextlib
import hashlib
import http.server
import struct
import textwrap
import threading

from harness import *

FETCH = """
import hashlib, os, urllib.request
gate = os.environ["GATE"]
with urllib.request.urlopen(gate + x, data=b"up" * 1_500_000 if x == "echo" else None, timeout=50) as answer:
    body = answer.read()
return f"{answer.status} {len(body)} {hashlib.sha256(body).hexdigest()}"
"""
SLEEP = """
import os, socket, time
held = socket.create_connection(("127.0.0.1", int(os.environ["GATE"].split(":")[2].strip("/"))))
time.sleep(600)
"""
MINE = """
import os, socket
if x == "hold":
    held = socket.create_connection(("127.0.0.1", int(os.environ["GATE"].split(":")[2].strip("/"))))
    held.recv(1)  # until the host ends it
return os.environ["GATE"]
"""
# Whether a connection from any of `attempts`, each a socket and an address to connect to, is answered.
ATTEMPT = """
for connection, host in attempts:
    try:
        connection.connect((host, port))
        connection.sendall(b"GET /small HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        if connection.recv(100):
            return "answered"
    except ConnectionError:
        pass
return "refused"
"""
OTHER = f"""
import socket
port = int(x.split(":")[2].strip("/"))
attempts = [(socket.socket(), "127.0.0.1"), (socket.socket(socket.AF_INET6), "::ffff:127.0.0.1")]
{ATTEMPT}"""
FORGED = f"""
import socket
port = int(x.split(":")[2].strip("/"))
table = [line.split() for line in open("/proc/net/tcp")]
peers = [int(row[1].split(":")[1], 16) for row in table if row[2].endswith(f":{{port:04X}}") and row[3] == "01"]
assert peers, table
attempts = []
for peer in peers:
    attempts.append((socket.socket(), "127.0.0.1"))
    attempts[-1][0].bind(("127.0.0.2", peer))
{ATTEMPT}"""
BIG = bytes(range(256)) * 20_000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(BIG if self.path == "/big" else b"small")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the job does not read, and ends
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        """A job that is killed resets its connections."""


def digest(body):
    return f"200 {len(body)} {hashlib.sha256(body).hexdigest()}"


class Connections(Shared):
    def setUp(self):
        super().setUp()
        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def net(self):
        return Net(self.server.server_address)

    def test_requests_and_answers_of_any_size(self):
        for _, worker in self.kinds():
            net = self.net()
            channel, _ = worker.load(tool_flow(FETCH), net=net)
            for path, body in (("small", b"small"), ("big", BIG), ("echo", b"up" * 1_500_000), ("small", b"small")):
                result = worker.line(channel, {"x": path})
                self.assertEqual(result["output"], {"out": digest(body)}, result["error"])
            self.assertEqual([number for kind, number, _ in net.seen if kind == NET_OPEN], [1, 2, 3, 4])
            self.assertEqual(worker.close(channel)["reason"], "closed")

    def test_many_at_once_and_more_than_may_be_open(self):
        body = """
        from concurrent.futures import ThreadPoolExecutor
        import os, urllib.request
        def one(n):
            with urllib.request.urlopen(os.environ["GATE"] + "small", timeout=50) as answer:
                return answer.read()
        with ThreadPoolExecutor(100) as pool:
            return str(set(pool.map(one, range(300))))
        """
        for _, worker in self.kinds():
            net = self.net()
            channel, _ = worker.load(tool_flow(textwrap.dedent(body)), net=net)
            result = worker.line(channel)
            self.assertEqual(result["output"], {"out": "{b'small'}"}, result["error"])
            worker.close(channel)

    def test_a_connection_that_nobody_reads_holds_up_no_other(self):
        body = """
        import os, socket, urllib.request
        deaf = socket.create_connection(("127.0.0.1", int(os.environ["GATE"].split(":")[2].strip("/"))))
        deaf.sendall(b"GET /big HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        with urllib.request.urlopen(os.environ["GATE"] + "big", timeout=50) as answer:
            return str(len(answer.read()))
        """
        for _, worker in self.kinds():
            net = self.net()
            channel, _ = worker.load(tool_flow(textwrap.dedent(body)), net=net)
            self.assertEqual(worker.line(channel)["output"], {"out": str(len(BIG))})
            self.assertEqual(worker.close(channel)["reason"], "closed")

    def test_a_job_that_ends_ends_its_connections(self):
        body = "import os, urllib.request\nos.environ['GATE']\n" + SLEEP
        for _, worker in self.kinds():
            net = self.net()
            channel, _ = worker.load(tool_flow(body), net=net)
            worker.send(LINE, channel, {"line": 0, "inputs": {"x": "x"}})
            while not net.servers:
                worker.read_some()
            worker.send(KILL, channel)
            self.assertEqual(worker.receive(channel, ENDED)["reason"], "killed")
            # What crosses with that is nothing.
            net.send(NET_DATA, 1, b"late")
            self.assertEqual(worker.one(tool_flow("return x"), {"x": "on"})["output"], {"out": "on"})

    def test_nobody_else_may_connect(self):
        if not ROOT:
            self.skipTest("only root has jobs of several identities")
        worker, net = self.worker("uid"), self.net()
        mine, _ = worker.load(tool_flow(MINE), net=net)
        gate = worker.line(mine)["output"]["out"]
        other = worker.one(tool_flow(OTHER), {"x": gate})
        self.assertEqual(other["output"], {"out": "refused"}, other["error"])
        self.assertEqual(net.seen, [])
        # Nor from the same port of another address, while the job's own connection is open.
        worker.send(LINE, mine, {"line": 1, "inputs": {"x": "hold"}})
        while not net.servers:
            worker.read_some()
        forged = worker.one(tool_flow(FORGED), {"x": gate})
        self.assertEqual(forged["output"], {"out": "refused"}, forged["error"])
        self.assertEqual([number for kind, number, _ in net.seen if kind == NET_OPEN], [1])
        net.send(NET_END, 1, b"\1")
        worker.receive(mine, RESULT)
        self.assertEqual(worker.close(mine)["reason"], "closed")

    def test_a_job_without_a_listener_has_none(self):
        for _, worker in self.kinds():
            result = worker.one(tool_flow("import os\nreturn str('GATE' in os.environ)"))
            self.assertEqual(result["output"], {"out": "False"})

    def test_a_host_that_breaks_the_rules(self):
        number = struct.pack(">I", 1)
        for kind, rest in (
            (NET_OPEN, struct.pack(">I", 9)),
            (NET_DATA, struct.pack(">I", 9) + b"x"),
            (NET_DATA, b"x"),
            (NET_DATA, number),
            (NET_END, number + b"junk"),
            (NET_DATA, number + b"x" * (WINDOW + 1)),
            (NET_ACK, number + struct.pack(">I", WINDOW)),
            (NET_ACK, number),
        ):
            worker = Worker()
            self.addCleanup(worker.stop)
            worker.hello()
            net = self.net()
            channel, _ = worker.load(tool_flow(SLEEP), net=net)
            worker.send(LINE, channel, {"line": 0, "inputs": {"x": "x"}})
            while not net.servers:
                worker.read_some()
            worker.send(kind, channel, rest)
            self.assertEqual(worker.receive(0, FATAL)["type"], "ProtocolError")
            self.assertEqual(worker.process.wait(PATIENCE), 2)
