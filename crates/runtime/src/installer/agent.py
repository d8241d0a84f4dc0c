"""Runs an installer where there is no network: its requests go over the stream, as PROTOCOL.md describes."""

import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import struct
import sys
import sysconfig
import tempfile
import urllib.request

PROTOCOL = 1
RUN, RESPONSE, BODY, END, COMPILE = 0x01, 0x02, 0x03, 0x04, 0x05
HELLO, REQUEST, ACK, CANCEL, OUTPUT, EXITED, COMPILED, FATAL = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8F
MAX_FRAME = 1024 * 1024
MAX_HEAD = 16 * 1024
MAX_CONNECTIONS = 256
MAX_STREAMS = 64
CHUNK = 64 * 1024
ACK_AFTER = 128 * 1024  # half of what may be on its way
LAST_WORDS = 5  # seconds for output that is still on its way when the installer has ended
COMPILER = """
import compileall, json, sys
for path in json.load(sys.stdin):
    compileall.compile_file(path, quiet=2)
"""
PHRASES = {400: "Bad Request", 431: "Request Header Fields Too Large", 503: "Too Many Connections"}


def send(kind, channel=0, payload=b""):
    """Writes a frame whole. It may wait for the host, which always reads."""
    data = memoryview(struct.pack(">IBI", 5 + len(payload), kind, channel) + payload)
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:  # where both directions are one file, the reader made it so
            select.select([], [1], [])


def send_json(kind, channel, body):
    send(kind, channel, json.dumps(body).encode("ascii"))


def installed():
    """What is installed, as an import finds it: normalised name to version, and to distribution."""
    importlib.invalidate_caches()
    versions, distributions = {}, {}
    for distribution in importlib.metadata.distributions():
        with contextlib.suppress(Exception):  # half a package, without metadata
            about = distribution.metadata  # read anew each time
            name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
            if about["Version"] and name not in versions:
                versions[name], distributions[name] = about["Version"], distribution
    return versions, distributions


def beside_packages():
    """A folder on the disk that packages go to: large ones do not fit into a `/tmp` in memory, and there they need not be
    copied. None where that cannot be written to, which the installer will say itself."""
    folder = os.path.dirname(sysconfig.get_path("purelib"))
    return folder if os.access(folder, os.W_OK) else None


def mount_of_packages():
    """Where packages go to a mount such as a volume, and not to the place's own disk."""
    for scheme in ("purelib", "platlib"):
        folder = os.path.realpath(sysconfig.get_path(scheme))
        while folder != "/":
            if os.path.ismount(folder):
                return folder
            folder = os.path.dirname(folder)
    return None


def names_of_wheels():
    """How wheels for this Python are named, where all others can be told by their names."""
    if sys.implementation.name != "cpython" or not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return None
    return {"abi": "cp{}{}".format(*sys.version_info), "machine": os.uname().machine}


class Streams:
    """The requests that wait for the host, by number."""

    def __init__(self):
        self.last = 0
        self.queues = {}
        self.free = asyncio.Semaphore(MAX_STREAMS)

    async def open(self, request):
        await self.free.acquire()
        self.last += 1
        self.queues[self.last] = queue = asyncio.Queue()  # bounded by the window
        send_json(REQUEST, self.last, request)
        return self.last, queue

    def receive(self, kind, number, payload):
        queue = self.queues.get(number)
        if queue is not None:
            queue.put_nowait((kind, payload))
            if kind == END:
                del self.queues[number]
                self.free.release()


class Loopback:
    """The index that an installer sees."""

    def __init__(self, streams):
        self.streams = streams
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            if self.connections > MAX_CONNECTIONS:
                return self.refuse(writer, 503)
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.LimitOverrunError:
            self.refuse(writer, 431)
        finally:
            self.connections -= 1
            with contextlib.suppress(Exception):
                writer.close()

    @staticmethod
    def refuse(writer, status):
        writer.write(f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    async def answer(self, reader, writer):
        """Answers one request; false where no other may follow on this connection."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        words = first.split(" ")
        if len(words) != 3:
            return self.refuse(writer, 400)
        method, target, version = words
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        keep = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        keep = keep and not body and method != "CONNECT"
        request = {"method": method, "target": target, "accept": headers.get("accept", ""), "body": body}
        number, queue = await self.streams.open(request)
        try:
            return await self.relay(number, queue, writer, method, keep) and keep
        except ConnectionError:
            if number in self.streams.queues:
                send(CANCEL, number)
            raise

    @staticmethod
    async def relay(number, queue, writer, method, keep):
        kind, payload = await queue.get()
        if kind != RESPONSE:
            return False
        head = json.loads(payload)
        lines = [f"HTTP/1.1 {head['status']} {head['reason']}", f"Content-Type: {head['content_type']}"]
        length, chunked = head["length"], head["length"] is None and method != "HEAD"
        if length is not None:
            lines.append(f"Content-Length: {length}")
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        lines.append("Connection: keep-alive" if keep else "Connection: close")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        taken = 0
        while True:
            kind, payload = await queue.get()
            if kind == END:
                if payload:  # broken off: the connection ends before its body does
                    return False
                if chunked:
                    writer.write(b"0\r\n\r\n")
                await writer.drain()
                return True
            writer.write(b"%x\r\n%b\r\n" % (len(payload), payload) if chunked else payload)
            await writer.drain()
            taken += len(payload)
            if taken >= ACK_AFTER:
                send(ACK, number, struct.pack(">I", taken))
                taken = 0


def is_direct(distribution):
    """Whether it came from a URL of its own (PEP 610). PEP 376's REQUESTED does not tell: uv writes it for all."""
    with contextlib.suppress(Exception):
        return bool(distribution.read_text("direct_url.json"))
    return False


def fetch(url, path):
    os.makedirs(os.path.dirname(path))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url) as body, open(path, "wb") as file:
        shutil.copyfileobj(body, file)


class Job:
    """An installer, with a folder of its own."""

    def __init__(self, packages, port):
        self.packages = packages
        self.port = port
        self.new = []  # distributions whose modules are not compiled
        self.child = None
        self.work = None

    async def run(self, request):
        end = {"exit": None, "signal": None, "detail": ""}
        try:
            self.work = tempfile.mkdtemp(prefix=".flowgate-", dir=beside_packages())
            for name, text in request["files"].items():
                with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
                    file.write(text)
            for path in request["archives"]:
                url = f"http://127.0.0.1:{self.port}{path}"
                await asyncio.get_running_loop().run_in_executor(None, fetch, url, self.work + path)
            argv = [word.replace("{work}", self.work) for word in request["argv"]]
            environment = {name: value.replace("{work}", self.work) for name, value in request["env"].items()}
            environment["PATH"] = os.environ.get("PATH", os.defpath)
            self.child = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self.work,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            outputs = [asyncio.ensure_future(pass_on(1, self.child.stdout)), asyncio.ensure_future(pass_on(2, self.child.stderr))]
            code = await self.child.wait()
            self.kill()
            _, late = await asyncio.wait(outputs, timeout=LAST_WORDS)
            for output in late:
                output.cancel()
            end["exit" if code >= 0 else "signal"] = abs(code)
        except Exception as error:  # whatever it is, the host waits for the end
            end["detail"] = str(error)
        self.clear()
        before, (self.packages, found) = self.packages, installed()
        new = {name: found[name] for name, version in self.packages.items() if before.get(name) != version}
        self.new += new.values()
        direct = [name for name, distribution in new.items() if is_direct(distribution)]
        send_json(EXITED, 0, {**end, "packages": self.packages, "direct": direct})

    async def compile(self):
        new, self.new = self.new, []
        paths = []
        for distribution in new:
            with contextlib.suppress(Exception):  # a list of files that cannot be read
                paths += modules(distribution)
        try:
            await compile_modules(paths)
        finally:
            send(COMPILED)

    def kill(self):
        if self.child is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def clear(self):
        self.kill()
        if self.work is not None:
            shutil.rmtree(self.work, ignore_errors=True)
        self.child = self.work = None


def modules(distribution):
    """The modules that a distribution brought, but for its own tests: often a third of all, and nobody imports them."""
    for file in distribution.files or ():
        if file.suffix == ".py" and not {"tests", "test", ".."}.intersection(file.parts):
            yield str(distribution.locate_file(file))


async def compile_modules(paths):
    """Compiles modules, as a runtime writes nothing into its environment. What cannot be compiled stays as it is."""
    processors = len(os.sched_getaffinity(0))
    paths.sort(key=lambda path: os.path.getsize(path) if os.path.exists(path) else 0, reverse=True)
    shares = [json.dumps(paths[first::processors]).encode("ascii") for first in range(min(processors, len(paths)))]
    await asyncio.gather(*[compile_share(share) for share in shares])


async def compile_share(share):
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-B", "-c", COMPILER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await child.communicate(share)


async def pass_on(number, stream):
    while True:
        data = await stream.read(CHUNK)
        if not data:
            return
        send(OUTPUT, 0, bytes([number]) + data)


async def read_frame(reader):
    length, kind, channel = struct.unpack(">IBI", await reader.readexactly(9))
    if not 5 <= length <= MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return kind, channel, await reader.readexactly(length - 5)


async def obey(reader, streams, job):
    running = None
    while True:
        kind, channel, payload = await read_frame(reader)
        if kind in (RESPONSE, BODY, END):
            streams.receive(kind, channel, payload)
        elif kind == RUN and (running is None or running.done()):
            running = asyncio.ensure_future(job.run(json.loads(payload)))
        elif kind == COMPILE and (running is None or running.done()):
            running = asyncio.ensure_future(job.compile())
        else:
            raise ValueError(f"a frame of kind {kind} that is not due")


async def start():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * MAX_FRAME)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
    packages, _ = installed()
    streams = Streams()
    server = await asyncio.start_server(Loopback(streams).serve, "127.0.0.1", 0, limit=MAX_HEAD)
    port = server.sockets[0].getsockname()[1]
    job = Job(packages, port)
    pip = importlib.util.find_spec("pip") is not None
    hello = {
        "protocol": PROTOCOL,
        "port": port,
        "python": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable,
        "uv": shutil.which("uv"),
        "pip": importlib.metadata.version("pip") if pip else None,
        "packages": packages,
        "mount": mount_of_packages(),
        "wheels": names_of_wheels(),
    }
    send_json(HELLO, 0, hello)
    try:
        await obey(reader, streams, job)
    finally:
        job.clear()


def main():
    # `asyncio.run` would wait for the downloads under way, which nobody answers once the host has gone.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(start())
    except asyncio.IncompleteReadError:  # the host has gone
        os._exit(0)
    except Exception as error:
        send_json(FATAL, 0, {"message": f"{type(error).__name__}: {error}"[:1000]})
        os._exit(2)
