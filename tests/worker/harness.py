"""Drives the real worker over its pipes, with the real engine of the interpreter in FLOWGATE_TEST_PYTHON."""

import collections
import contextlib
import hashlib
import io
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "crates" / "runtime" / "src" / "worker"
BROKER = ("wire", "streams", "archives", "client", "memory", "places", "sources", "broker")
ZYGOTE = ("wire", "job", "warm", "keeper", "zygote")
PYTHON = os.environ.get("FLOWGATE_TEST_PYTHON")
ROOT = os.geteuid() == 0
OPEN, DATA, LINE, AGGREGATE, CLOSE, KILL, NODE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
STATUS, SET, STOP = 0x10, 0x11, 0x12
HELLO, LOADED, RESULT, AGGREGATED, OUTPUT, ENDED = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
OPENED, NODE_RESULT, WAITING, FATAL, STATE = 0x87, 0x88, 0x89, 0x8F, 0x90
NET_OPEN, NET_DATA, NET_ACK, NET_END = NET = (0xA0, 0xA1, 0xA2, 0xA3)
WINDOW, PIECE = 256 << 10, 1 << 20
PATIENCE = 60  # seconds without a frame after which a test gives up; never a measurement
NOBODY = 65534
# What the worker has in its container: root with three capabilities and no way to gain more.
CONTAINED = ["setpriv", "--bounding-set=-all,+setuid,+setgid,+kill", "--inh-caps=-all", "--no-new-privs"]
CONTAINED = CONTAINED if ROOT and shutil.which("setpriv") else []

TOOL = "from promptflow.core import tool\n@tool\ndef run(x: str) -> str:\n"


def flow_yaml(extra=""):
    return (
        "inputs: {x: {type: string, default: hi}}\n"
        'outputs: {out: {type: string, reference: "${a.output}"}}\n'
        'nodes: [{name: a, type: python, source: {type: code, path: a.py}, inputs: {x: "${inputs.x}"}}]\n' + extra
    )


def tool_flow(body, extra=""):
    """A flow of one python node whose function has the given body."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return {"flow.dag.yaml": flow_yaml(extra), "a.py": TOOL + lines}


def tar_of(files):
    """A tar of `{name: text}`, of a directory, or of ready-made TarInfo entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        if isinstance(files, Path):
            archive.add(files, arcname=".")
        elif isinstance(files, dict):
            for name, text in files.items():
                data = text if isinstance(text, bytes) else text.encode()
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        else:
            for entry in files:
                archive.addfile(entry, io.BytesIO(b"\0" * entry.size))
    return buffer.getvalue()


def source(name):
    if name == "sources":
        return f"BOOTSTRAP = {source('bootstrap')!r}\nZYGOTE = {modules(ZYGOTE)!r}\n"
    return (SOURCES / f"{name}.py").read_text()


def modules(names):
    return [[f"flowgate_{name}", source(name)] for name in names]


def source_frame():
    data = json.dumps(modules(BROKER)).encode()
    return struct.pack(">I", len(data)) + data


class Stream:
    """One client's stream, frame by frame."""

    def __init__(self, process):
        self.process = process
        self.buffer = bytearray()
        self.frames = collections.defaultdict(collections.deque)
        self.output = collections.defaultdict(bytearray)
        self.channel = 0
        self.nets, self.outgoing = {}, bytearray()
        os.set_blocking(process.stdin.fileno(), False)

    def hello(self):
        return self.receive(0, HELLO)

    # Frames.

    def write(self, data):
        """Reading meanwhile may want to write, too: that follows what is being written."""
        self.outgoing += data
        if len(self.outgoing) > len(data):
            return
        out, source = self.process.stdin.fileno(), self.process.stdout.fileno()
        try:
            while self.outgoing:
                ready = select.select([source], [out], [], PATIENCE)
                if not (ready[0] or ready[1]):
                    raise AssertionError("the worker takes nothing")
                if ready[0]:
                    self.read_some()
                if ready[1]:
                    with contextlib.suppress(BlockingIOError):
                        del self.outgoing[: os.write(out, self.outgoing[:PIECE])]
        finally:
            self.outgoing.clear()

    def send(self, kind, channel, body=b""):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.write(struct.pack(">IBI", len(body) + 5, kind, channel) + body)

    def read_some(self):
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            raise EOFError(f"the worker ended with {self.process.wait()}: {self.errors()}")
        self.buffer += data
        while len(self.buffer) >= 4:
            size = struct.unpack_from(">I", self.buffer)[0]
            assert 5 <= size <= 1 << 24, size
            if len(self.buffer) < 4 + size:
                break
            kind, channel = struct.unpack_from(">BI", self.buffer, 4)
            body = bytes(self.buffer[9 : 4 + size])
            del self.buffer[: 4 + size]
            if kind in NET:
                self.nets[channel].take(kind, body)
            else:
                self.frames[channel].append((kind, body))

    def next(self, channel):
        while not self.frames[channel]:
            servers = {socket: net for net in self.nets.values() for socket in net.readable()}
            ready = select.select([self.process.stdout, *servers], [], [], PATIENCE)[0]
            if not ready:
                raise AssertionError(f"no frame on channel {channel}: {self.errors()}")
            if self.process.stdout in ready:
                self.read_some()
            for source in ready:
                if source in servers:
                    servers[source].read(source)
        kind, body = self.frames[channel].popleft()
        return kind, body if kind == OUTPUT else json.loads(body, parse_constant=refuse)

    def receive(self, channel, wanted):
        """The next frame that is no output, which must be of the wanted kind."""
        while True:
            kind, body = self.next(channel)
            if kind == wanted:
                return body
            if kind != OUTPUT:
                raise AssertionError(f"wanted {wanted:#x}, got {kind:#x} {body} {bytes(self.output[channel])}")
            self.output[channel] += body[1:]

    def errors(self):
        return ""

    # Jobs.

    def ask(self, data, limits=None, flow_file="flow.dag.yaml", net=None):
        """Sends OPEN for an archive. `net` is the host's end of the job's connections."""
        self.channel += 1
        digest = hashlib.sha256(data).hexdigest()
        request = {"flow_file": flow_file, "sha256": digest, "tar_bytes": len(data), "limits": limits or {}}
        if net is not None:
            request["net"] = {"GATE": "http://127.0.0.1:{port}/"}
            self.nets[self.channel] = net
            net.stream, net.channel = self, self.channel
        self.send(OPEN, self.channel, request)
        return self.channel

    def open(self, files, limits=None, flow_file="flow.dag.yaml", data=None, net=None):
        data = tar_of(files) if data is None else data
        channel = self.ask(data, limits, flow_file, net)
        if self.receive(channel, OPENED)["need"]:
            for start in range(0, len(data), 1 << 20):
                self.send(DATA, channel, data[start : start + (1 << 20)])
        return channel

    def load(self, files, limits=None, **more):
        channel = self.open(files, limits, **more)
        return channel, self.receive(channel, LOADED)

    def line(self, channel, inputs=None, line=0):
        self.send(LINE, channel, {"line": line, "inputs": inputs or {}})
        return self.receive(channel, RESULT)

    def aggregate(self, channel, inputs=None, aggregation_inputs=None, **more):
        self.send(AGGREGATE, channel, {"inputs": inputs or {}, "aggregation_inputs": aggregation_inputs or {}, **more})
        return self.receive(channel, AGGREGATED)

    def close(self, channel):
        self.send(CLOSE, channel)
        return self.receive(channel, ENDED)

    def one(self, files, inputs=None, limits=None):
        """Loads, runs one line and closes: the result."""
        channel, loaded = self.load(files, limits)
        assert "error" not in loaded, loaded
        result = self.line(channel, inputs)
        ended = self.close(channel)
        assert ended["reason"] == "closed", ended
        return result

    def status(self):
        self.send(STATUS, 0)
        return self.receive(0, STATE)

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        return self.process.returncode


class Net:
    """The host's end of a job's connections: each leads to a server that listens at `address`."""

    def __init__(self, address):
        self.address, self.stream, self.channel = address, None, None
        self.servers, self.credit, self.seen = {}, {}, []

    def readable(self):
        return [server for number, server in self.servers.items() if self.credit[number]]

    def send(self, kind, number, rest=b""):
        self.stream.send(kind, self.channel, struct.pack(">I", number) + rest)

    def take(self, kind, body):
        number, rest = struct.unpack_from(">I", body)[0], body[4:]
        self.seen.append((kind, number, len(rest)))
        if kind == NET_OPEN:
            self.servers[number], self.credit[number] = socket.create_connection(self.address), WINDOW
        elif number not in self.servers:
            return  # crossed with its end
        elif kind == NET_DATA:
            with contextlib.suppress(ConnectionError):  # it has answered, and its end is read next
                self.servers[number].sendall(rest)
            self.send(NET_ACK, number, struct.pack(">I", len(rest)))
        elif kind == NET_ACK:
            self.credit[number] += struct.unpack(">I", rest)[0]
            assert self.credit[number] <= WINDOW
        elif rest == b"\0":
            with contextlib.suppress(OSError):
                self.servers[number].shutdown(socket.SHUT_WR)
        else:
            self.servers.pop(number).close()

    def read(self, server):
        number = next((number for number, other in self.servers.items() if other is server), None)
        if number is None:
            return
        try:
            data = server.recv(min(64 << 10, self.credit[number]))
        except ConnectionError:
            data = b""
        if data:
            self.credit[number] -= len(data)
            self.send(NET_DATA, number, data)
        else:
            self.servers.pop(number).close()
            self.send(NET_END, number, b"\1")


class Worker(Stream):
    """A worker process and the stream that it was started with."""

    def __init__(self, isolation="process", python=None, environment=None, user=None, work=None):
        self.scratch = Path(tempfile.mkdtemp(prefix="fg-test-"))
        self.scratch.chmod(0o755)
        self.work = Path(work) if work else self.scratch / "work"
        self.work.mkdir(exist_ok=True)
        self.work.chmod(0o1777)
        home = self.scratch / "home"
        home.mkdir()
        home.chmod(0o777)
        variables = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "FLOWGATE_WORK": str(self.work)}
        variables["FLOWGATE_ISOLATION"] = isolation
        variables.update(environment or {})
        self.stderr = open(self.scratch / "stderr", "w+b")
        command = [python or PYTHON, "-I", "-S", "-B", "-c", source("bootstrap")]
        process = subprocess.Popen(
            (CONTAINED if isolation == "uid" else []) + command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=variables,
            cwd="/",
            **({"user": user, "group": user, "extra_groups": []} if user else {}),
        )
        super().__init__(process)
        self.attached = []
        self.write(source_frame())

    def errors(self):
        self.stderr.flush()
        return Path(self.stderr.name).read_text(errors="replace")[-4000:]

    def leftovers(self):
        return sorted(path.name for path in self.work.rglob("job-*"))

    def zygote(self):
        """The process that jobs are forked from."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def resident(self):
        """The broker's own memory, in kB."""
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    def attach(self, patience=PATIENCE):
        self.attached.append(Attached(self, patience))
        return self.attached[-1]

    def stop(self):
        code = super().stop()
        self.stderr.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return code


class Attached(Stream):
    """A client of a worker that listens, through the real relay."""

    def __init__(self, worker, patience):
        self.worker = worker
        command = [PYTHON, "-I", "-S", "-B", "-c", source("relay"), str(patience)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": worker.stderr}
        super().__init__(subprocess.Popen(command, env={"FLOWGATE_WORK": str(worker.work)}, **pipes))

    def errors(self):
        return self.worker.errors()

    def discard(self):
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.kill()
        self.process.wait()


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def user_for(isolation):
    """Root passes every file permission, so that under `process` a hostile flow is tried as an ordinary user."""
    return NOBODY if ROOT and isolation == "process" else None


class Shared(unittest.TestCase):
    """Tests that share one worker per kind of isolation; each proves that the worker is as good as before."""

    workers = {}

    def setUp(self):
        if not PYTHON:
            self.fail("set FLOWGATE_TEST_PYTHON to a python that has promptflow and promptflow-tools")

    @classmethod
    def tearDownClass(cls):
        for worker in Shared.workers.values():
            worker.stop()
        Shared.workers.clear()

    def worker(self, isolation="process"):
        key = isolation
        if key not in Shared.workers:
            # Two workers of one machine must not share identities: tests run beside each other.
            first = 2_000 + 2 * (os.getpid() % 7_000)
            worker = Worker(isolation, user=user_for(isolation), environment={"FLOWGATE_FIRST_UID": str(first)})
            self.assertEqual(worker.hello()["isolation"], isolation)
            Shared.workers[key] = worker
        return Shared.workers[key]

    def kinds(self):
        for isolation in ("process", "uid") if ROOT else ("process",):
            with self.subTest(isolation=isolation):
                worker = self.worker(isolation)
                yield isolation, worker
                self.assertIsNone(worker.process.poll(), worker.errors())
                self.assertEqual(worker.one(tool_flow("return x + '!'"))["output"], {"out": "hi!"})
                self.assertEqual(worker.leftovers(), [])


def eventually(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
