"""Runs an installer where there is no network: its requests go over the stream, as PROTOCOL.md describes."""

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
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request

from flowgate_streams import NET, Streams

PROTOCOL = 2
RUN, COMPILE = 0x01, 0x02
HELLO, OUTPUT, EXITED, COMPILED, FATAL = 0x81, 0x82, 0x83, 0x84, 0x8F
MAX_FRAME = 1024 * 1024
CHUNK = 64 * 1024
LAST_WORDS = 5  # seconds for output that is still on its way when the installer has ended
COMPILER = """
import compileall, json, sys
for path in json.load(sys.stdin):
    compileall.compile_file(path, quiet=2)
"""
WRITING = threading.Lock()  # one frame at a time


def send(kind, payload=b""):
    """Writes a frame whole. It may wait for the host, which always reads."""
    data = memoryview(struct.pack(">IBI", 5 + len(payload), kind, 0) + payload)
    with WRITING:
        while data:
            data = data[os.write(1, data) :]


def send_json(kind, body):
    send(kind, json.dumps(body).encode("ascii"))


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
    """An installer, with a folder of its own. It runs in a thread, as the host's answers are passed on meanwhile."""

    def __init__(self, packages, port):
        self.packages = packages
        self.port = port
        self.new = []  # distributions whose modules are not compiled
        self.child = self.work = None
        self.busy = self.gone = False
        self.starting = threading.Lock()

    def begin(self, kind, payload):
        """Starts what a frame asks for."""
        if self.busy or kind not in (RUN, COMPILE):
            raise ValueError(f"a frame of kind {kind} that is not due")
        self.busy = True
        work = (self.run, json.loads(payload)) if kind == RUN else (self.compile,)
        threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def run(self, request):
        end = {"exit": None, "signal": None, "detail": ""}
        try:
            self.work = tempfile.mkdtemp(prefix=".flowgate-", dir=beside_packages())
            for name, text in request["files"].items():
                with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
                    file.write(text)
            for path in request["archives"]:
                fetch(f"http://127.0.0.1:{self.port}{path}", self.work + path)
            code = self.execute(request["argv"], request["env"])
            end["exit" if code >= 0 else "signal"] = abs(code)
        except Exception as error:  # whatever it is, the host waits for the end
            end["detail"] = str(error)
        self.clear()
        before, (self.packages, found) = self.packages, installed()
        new = {name: found[name] for name, version in self.packages.items() if before.get(name) != version}
        self.new += new.values()
        direct = [name for name, distribution in new.items() if is_direct(distribution)]
        self.busy = False
        send_json(EXITED, {**end, "packages": self.packages, "direct": direct})

    def execute(self, argv, variables):
        argv = [word.replace("{work}", self.work) for word in argv]
        environment = {name: value.replace("{work}", self.work) for name, value in variables.items()}
        environment["PATH"] = os.environ.get("PATH", os.defpath)
        with self.starting:
            if self.gone:
                raise ConnectionError("the host has gone")
            self.child = subprocess.Popen(
                argv,
                cwd=self.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        outputs = [Output(1, self.child.stdout), Output(2, self.child.stderr)]
        code = self.child.wait()
        self.kill()
        deadline = time.monotonic() + LAST_WORDS
        for output in outputs:
            output.end(deadline)
        return code

    def compile(self):
        new, self.new = self.new, []
        paths = []
        for distribution in new:
            with contextlib.suppress(Exception):  # a list of files that cannot be read
                paths += modules(distribution)
        with contextlib.suppress(Exception):  # it only makes the first import slower
            compile_modules(paths)
        self.busy = False
        send(COMPILED)

    def kill(self):
        child = self.child  # the other thread may forget it
        if child is not None:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)

    def clear(self):
        self.kill()
        work = self.work
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        self.child = self.work = None

    def abandon(self):
        """Leaves nothing behind, and lets nothing start any more."""
        with self.starting:
            self.gone = True
        self.clear()


class Output:
    """Forwards the installer's output to the host until `end` is called."""

    def __init__(self, number, pipe):
        self.number, self.pipe, self.ended = number, pipe, False
        self.passing = threading.Lock()
        self.thread = threading.Thread(target=self.pass_on, daemon=True)
        self.thread.start()

    def pass_on(self):
        with self.pipe:
            while data := os.read(self.pipe.fileno(), CHUNK):
                with self.passing:
                    if self.ended:
                        return
                    send(OUTPUT, bytes([self.number]) + data)

    def end(self, deadline):
        self.thread.join(max(0, deadline - time.monotonic()))
        with self.passing:  # what still holds the pipe has left the installer's group
            self.ended = True


def modules(distribution):
    """The modules that a distribution brought, but for its own tests: often a third of all, and nobody imports them."""
    for file in distribution.files or ():
        if file.suffix == ".py" and not {"tests", "test", ".."}.intersection(file.parts):
            yield str(distribution.locate_file(file))


def compile_modules(paths):
    """Compiles modules, as a runtime writes nothing into its environment. What cannot be compiled stays as it is."""
    processors = len(os.sched_getaffinity(0))
    paths.sort(key=lambda path: os.path.getsize(path) if os.path.exists(path) else 0, reverse=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    children = []
    for first in range(min(processors, len(paths))):
        command = [sys.executable, "-I", "-B", "-c", COMPILER]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, **quiet)
        children.append(child)
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(json.dumps(paths[first::processors]).encode("ascii"))
    for child in children:
        child.wait()


def take_frames(incoming, streams, job):
    while len(incoming) >= 9:
        length, kind, channel = struct.unpack_from(">IBI", incoming)
        if not 5 <= length <= MAX_FRAME or channel:
            raise ValueError(f"a frame of {length} bytes on channel {channel}")
        if len(incoming) < 4 + length:
            return
        payload = bytes(incoming[9 : 4 + length])
        del incoming[: 4 + length]
        if kind not in NET:
            job.begin(kind, payload)
        elif not streams.receive(kind, payload):
            raise ValueError(f"a frame of kind {kind} that is not due")


def obey(streams, job):
    """One loop for the host and for the connections of the installer; returns when the host has gone."""
    incoming = bytearray()
    while True:
        poll, numbers = select.poll(), {}
        poll.register(0, select.POLLIN)
        for descriptor, events, number in streams.watched():
            poll.register(descriptor, events)
            numbers[descriptor] = number
        for descriptor, _ in poll.poll():
            if descriptor in numbers:
                streams.ready(numbers[descriptor])
                continue
            data = os.read(0, 4 * CHUNK)
            if not data:
                return
            incoming += data
            take_frames(incoming, streams, job)


def main():
    packages, _ = installed()
    streams = Streams(send)
    job = Job(packages, streams.port)
    pip = importlib.util.find_spec("pip") is not None
    hello = {
        "protocol": PROTOCOL,
        "port": streams.port,
        "python": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable,
        "uv": shutil.which("uv"),
        "pip": importlib.metadata.version("pip") if pip else None,
        "packages": packages,
        "mount": mount_of_packages(),
        "wheels": names_of_wheels(),
    }
    code = 0
    try:
        send_json(HELLO, hello)
        obey(streams, job)
    except ConnectionError:  # the host has gone
        pass
    except Exception as error:
        code = 2
        with contextlib.suppress(OSError):
            send_json(FATAL, {"message": f"{type(error).__name__}: {error}"[:1000]})
    job.abandon()
    os._exit(code)  # whatever still waits for the host
