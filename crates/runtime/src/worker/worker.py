"""The flowgate worker: runs prompt flows inside a runtime, one process per flow.

It preloads the engine once and then forks, so that a flow starts in milliseconds. Three kinds of process:

* the worker: one single-threaded loop that moves frames and never blocks on a flow;
* one keeper per job: the sub-reaper of everything the job starts. It kills and buries all of it,
  removes the job's files and only then reports;
* the job: loads one flow and executes its lines in the order they arrive.

The worker obeys. Timeouts, retries and verdicts are the host's. PROTOCOL.md describes the frames.
"""

import collections
import contextlib
import fcntl
import gc
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback

from flowgate_keeper import keep, kill_descendants, remove_tree
from flowgate_job import inner_parts
from flowgate_warm import hello, preload
from flowgate_wire import *

OWN_DIRECTORIES = []  # removed at the end, first one first


class Job:
    """What the worker knows of one channel."""

    def __init__(self, channel, spec, output_bytes):
        self.channel, self.spec = channel, spec
        self.tar_left, self.output_left, self.dropped = spec["tar_bytes"], output_bytes, 0
        self.keeper, self.leash, self.report = None, None, b""
        self.requests = self.answers = None
        self.streams = {}
        self.inbox, self.waiting = collections.deque(), 0
        self.buffer, self.expected = bytearray(), collections.deque()
        self.loaded = self.closing = self.gone = False
        self.reason, self.detail, self.sweeps = None, "", 0

    def descriptors(self):
        return [fd for fd in (self.requests, self.answers, *self.streams) if fd is not None]


class Worker:
    """One loop over non-blocking descriptors. Nothing that a job does can make it wait, grow or fall."""

    def __init__(self, source, sink, root, isolation):
        self.source, self.sink, self.root, self.isolation = source, sink, root, isolation
        self.incoming, self.outbox, self.queued = bytearray(), collections.deque(), 0
        self.jobs, self.keepers, self.last_channel = {}, {}, 0
        self.next_uid = int(os.environ.get("FLOWGATE_FIRST_UID", FIRST_UID))
        for fd in (source, sink):
            os.set_blocking(fd, False)

    # Towards the host.

    def send(self, kind, channel, body):
        body = body if isinstance(body, bytes) else json_bytes(body)
        self.outbox.append(memoryview(struct.pack(">IBI", len(body) + 5, kind, channel) + body))
        self.queued += len(body) + 9

    def write_host(self, _events=0):
        while self.outbox:
            try:
                count = os.write(self.sink, self.outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self.stop(0)  # nobody listens any more
            self.queued -= count
            if count == len(self.outbox[0]):
                self.outbox.popleft()
            else:
                self.outbox[0] = self.outbox[0][count:]

    # From the host.

    def read_host(self, events):
        if events & select.POLLIN:
            try:
                data = os.read(self.source, 4 * CHUNK)
            except BlockingIOError:
                return
            if data:
                self.incoming += data
                return
        self.stop(0)  # end of file: the lease is over

    def paused(self):
        return any(not job.loaded and job.waiting > HIGH_WATER for job in self.jobs.values())

    def take_frames(self):
        while len(self.incoming) >= 9 and not self.paused():
            size, kind, channel = struct.unpack_from(">IBI", self.incoming)
            if not 5 <= size <= MAX_FRAME or (kind == DATA and size - 5 > MAX_DATA):
                raise Fatal("ProtocolError", f"a frame of kind {kind:#04x} announces {size} bytes")
            if len(self.incoming) < 4 + size:
                return
            payload = bytes(self.incoming[9 : 4 + size])
            del self.incoming[: 4 + size]
            self.take(kind, channel, payload)

    def take(self, kind, channel, payload):
        if kind == OPEN:
            return self.open(channel, payload)
        if kind not in (DATA, LINE, AGGREGATE, CLOSE, KILL):
            raise Fatal("ProtocolError", f"unknown frame kind {kind:#04x}")
        if not 0 < channel <= self.last_channel:
            raise Fatal("ProtocolError", f"frame of kind {kind:#04x} for channel {channel}, which was never opened")
        job = self.jobs.get(channel)
        if job is None or job.reason:
            return None  # crossed with ENDED, or about to
        if kind == KILL:
            return self.end(job, "killed", "")
        if kind == DATA:
            job.tar_left -= len(payload)
        if job.closing or job.tar_left < 0 or (kind != DATA and job.tar_left):
            raise Fatal("ProtocolError", f"frame of kind {kind:#04x} out of place on channel {channel}")
        if kind in ANSWER:
            job.expected.append(ANSWER[kind])
        job.closing = kind == CLOSE
        if job.requests is not None:
            job.inbox.append(memoryview(struct.pack(">IB", len(payload) + 1, kind) + payload))
            job.waiting += len(payload) + 5
            if job.loaded and job.waiting > MAX_WAITING:
                self.end(job, "protocol", "the job does not take its requests")
        return None

    def open(self, channel, payload):
        try:
            request = json.loads(payload)
            limits = request.get("limits") or {}
            flow_file, tar_bytes = request["flow_file"], int(request["tar_bytes"])
            output_bytes = int(limits.get("output_bytes", MIB))
            result_bytes = min(int(limits.get("result_bytes", 8 * MIB)), MAX_FRAME - 5)
            bad = not isinstance(flow_file, str) or not inner_parts(flow_file)
            bad = bad or not 0 <= tar_bytes <= MAX_TAR or output_bytes < 0 or result_bytes < KIB
        except (ValueError, TypeError, KeyError, AttributeError):
            bad = True
        if bad:
            raise Fatal("ProtocolError", f"the OPEN of channel {channel} is malformed or asks for impossible limits")
        if channel <= self.last_channel:
            raise Fatal("ProtocolError", f"channel {channel} is not above {self.last_channel}, the last one opened")
        self.last_channel = channel
        uid = 0
        if self.isolation == "uid":
            uid, self.next_uid = self.next_uid, self.next_uid + 2
            if uid >= LAST_UID:
                raise Fatal("Exhausted", "every identity for jobs was used once: start a new worker")
        spec = {"directory": os.path.join(self.root, f"job-{os.urandom(12).hex()}"), "uid": uid}
        spec.update(flow_file=flow_file, tar_bytes=tar_bytes, result_bytes=result_bytes)
        job = Job(channel, spec, output_bytes)
        pipes = []
        try:
            for _ in range(4):
                pipes.append(os.pipe())
            (requests, job.requests), (job.answers, answers), (out, stdout), (err, stderr) = pipes
            job.streams = {out: 1, err: 2}
            self.start_keeper(job, (requests, answers, stdout, stderr))
        except OSError as error:  # no descriptor or no process is left: this job's trouble, nobody else's
            for fd in {fd for pipe in pipes for fd in pipe}:
                with contextlib.suppress(OSError):
                    os.close(fd)
            body = {"reason": "refused", "exit": None, "signal": None, "output_dropped": 0}
            return self.send(ENDED, channel, {**body, "detail": f"it cannot be started: {error.strerror}"})
        self.jobs[channel] = job
        for fd in job.descriptors():
            os.set_blocking(fd, False)
        return None

    def start_keeper(self, job, pipes):
        ours, theirs = socket.socketpair()
        # A signal that lands in the fork before it has its own handlers would run the worker's there.
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            try:
                keep(job.spec, theirs.fileno(), pipes)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
        theirs.close()
        for fd in pipes:
            os.close(fd)
        ours.setblocking(False)
        job.keeper, job.leash, job.gone = pid, ours, False
        self.keepers[pid] = job

    # From and to a job. Every byte that comes from one is hostile.

    def end(self, job, reason, detail):
        """Ends a job early. Its keeper does the work; ENDED follows when it reports."""
        job.reason, job.detail = job.reason or reason, job.detail or detail
        job.inbox.clear()
        job.waiting = 0
        if reason == "protocol":
            self.shut(job, job.answers)
            job.buffer.clear()
        with contextlib.suppress(OSError):
            job.leash.shutdown(socket.SHUT_WR)

    def shut(self, job, fd):
        if fd is None:
            return
        os.close(fd)
        if fd == job.requests:
            job.requests = None
            job.inbox.clear()
            job.waiting = 0
        elif fd == job.answers:
            job.answers = None
        else:
            del job.streams[fd]

    def write_job(self, job):
        try:
            while job.inbox:
                count = os.write(job.requests, job.inbox[0])
                job.waiting -= count
                if count < len(job.inbox[0]):
                    job.inbox[0] = job.inbox[0][count:]
                    return
                job.inbox.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.shut(job, job.requests)

    def read_job(self, job, fd):
        """Reads once; returns the number of bytes, 0 at the end of the pipe or when it is empty."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self.shut(job, fd)
        elif fd == job.answers:
            job.buffer += data
            self.take_answers(job)
        else:
            kept = data[: job.output_left]
            job.output_left -= len(kept)
            job.dropped += len(data) - len(kept)
            if kept:
                self.send(OUTPUT, job.channel, bytes([job.streams[fd]]) + kept)
        return len(data)

    def take_answers(self, job):
        while len(job.buffer) >= 5:
            size, kind = struct.unpack_from(">IB", job.buffer)
            due = LOADED if not job.loaded else job.expected[0] if job.expected else None
            if kind != due or not 1 < size <= job.spec["result_bytes"] + 1:
                detail = f"the job sent kind {kind:#04x} with {size} bytes where {answer_name(due)} was due"
                return self.end(job, "protocol", detail)
            if len(job.buffer) < 4 + size:
                return None
            self.send(kind, job.channel, bytes(job.buffer[5 : 4 + size]))
            del job.buffer[: 4 + size]
            if job.loaded:
                job.expected.popleft()
            job.loaded = True
        return None

    def read_leash(self, job):
        with contextlib.suppress(BlockingIOError):
            try:
                data = job.leash.recv(512)
            except ConnectionError:
                data = b""
            job.report = (job.report + data)[:512]
            if not data:
                job.leash.close()
                job.gone = True

    def reap(self):
        with contextlib.suppress(ChildProcessError):
            while True:
                pid = os.waitpid(-1, os.WNOHANG)[0]
                if not pid:
                    return
                self.keepers.pop(pid, None)

    def settle(self, job):
        """Finishes a job whose keeper has gone; False while there is still something to wait for."""
        if job.keeper in self.keepers or self.queued > HIGH_WATER:
            return False
        if len(job.report) < 4:  # the keeper was killed: its job is an orphan of ours now
            job.reason = job.reason or "exited"
            # Twice, as a scan may miss a process that changes its parent under it.
            if any([kill_descendants(os.getpid(), self.keepers) for _ in range(2)]):
                return False
            job.sweeps += 1
            if job.sweeps <= 3:
                with contextlib.suppress(OSError):  # the next turn of the loop tries again
                    self.start_keeper(job, ())
                return False
            job.report = struct.pack(">i", -signal.SIGKILL) + b"the job's keeper was killed again and again"
        code = struct.unpack_from(">i", job.report)[0] if not job.sweeps else -signal.SIGKILL
        for fd in job.descriptors():
            left = MAX_DRAIN
            while left > 0 and fd in job.descriptors() and fd != job.requests:
                count = self.read_job(job, fd)
                left = left - count if count else 0
        reason = job.reason or ("closed" if job.closing and code == 0 and not job.expected else "exited")
        detail = job.detail or job.report[4:].decode("utf-8", "replace")
        body = {"reason": reason, "exit": code if code >= 0 else None, "signal": -code if code < 0 else None}
        self.send(ENDED, job.channel, {**body, "detail": detail, "output_dropped": job.dropped})
        for fd in job.descriptors():
            os.close(fd)
        del self.jobs[job.channel]
        return True

    # The loop.

    def step(self):
        poll, handlers = select.poll(), {}

        def watch_fd(fd, events, handler, *arguments):
            poll.register(fd, events)
            handlers[fd] = (handler, arguments)

        watch_fd(self.source, 0 if self.paused() else select.POLLIN, self.read_host)
        if self.outbox:
            watch_fd(self.sink, select.POLLOUT, self.write_host)
        for job in self.jobs.values():
            if not job.gone:
                watch_fd(job.leash.fileno(), select.POLLIN, self.read_leash, job)
                if job.inbox:
                    watch_fd(job.requests, select.POLLOUT, self.write_job, job)
                if self.queued <= HIGH_WATER:
                    for fd in job.descriptors():
                        if fd != job.requests:
                            watch_fd(fd, select.POLLIN, self.read_job, job, fd)
        unsettled = any(job.gone for job in self.jobs.values()) and self.queued <= HIGH_WATER
        for fd, events in poll.poll(10 if unsettled else None):
            handler, arguments = handlers[fd]
            if fd in (self.source, self.sink):
                handler(events)
            elif not arguments[1:] or arguments[1] in arguments[0].descriptors():
                handler(*arguments)
        self.take_frames()
        self.reap()
        for job in [job for job in self.jobs.values() if job.gone]:
            self.settle(job)
        self.write_host()

    def stop(self, code):
        """Ends every job and then the worker. A keeper that takes longer than this waits finishes alone."""
        for job in self.jobs.values():
            if not job.gone:
                self.end(job, "killed", "")
        deadline = time.monotonic() + 2
        while self.keepers and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.002)
        for path in OWN_DIRECTORIES:
            with contextlib.suppress(OSError):
                remove_tree(path)
        os._exit(code)

    def fatal(self, kind, message):
        with contextlib.suppress(OSError):
            self.send(FATAL, 0, {"type": kind, "message": clip(message, MESSAGE_BYTES)})
            deadline = time.monotonic() + 2
            while self.outbox and time.monotonic() < deadline:
                self.write_host()
                select.select([], [self.sink] if self.outbox else [], [], 0.1)
        self.stop(2)

    def run(self):
        while True:
            self.step()


def answer_name(kind):
    return {LOADED: "LOADED", RESULT: "RESULT", AGGREGATED: "AGGREGATED"}.get(kind, "nothing")


def choose_root(isolation):
    root = os.environ.get("FLOWGATE_WORK")
    if not root and isolation == "uid" and os.path.isdir("/work") and os.access("/work", os.W_OK):
        root = "/work"
    if not root:
        root = tempfile.mkdtemp(prefix="flowgate-")
        os.chmod(root, 0o1777 if isolation == "uid" else 0o700)
        OWN_DIRECTORIES.append(root)
    root = os.path.realpath(root)
    mode = os.stat(root).st_mode
    if isolation == "uid" and (mode & 0o1003) != 0o1003:
        raise Fatal(
            "WorkDirectory", f"{root} has mode {mode & 0o7777:o}: jobs need a sticky one that all can write, 1777"
        )
    return root


def main():
    source, sink = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PRIVATE_FD) for fd in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    root = os.geteuid() == 0 and LINUX
    isolation = "uid" if root and os.environ.get("FLOWGATE_ISOLATION") != "process" else "process"
    worker = Worker(source, sink, None, isolation)
    try:
        if sys.version_info < (3, 9):
            have = platform.python_version()
            raise Fatal("UnsupportedPython", f"python {have} is too old: the worker needs 3.9 or newer")
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: worker.stop(0))
        worker.root = choose_root(isolation)
        own = tempfile.mkdtemp(prefix="worker-", dir=worker.root)
        OWN_DIRECTORIES.insert(0, own)
        os.chdir(own)
        preload(own)
        os.chdir("/")
        signal.signal(signal.SIGTERM, lambda *_: worker.stop(0))
        sys.argv = ["flowgate"]
        gc.collect()
        gc.freeze()
        worker.send(HELLO, 0, hello(isolation))
        worker.run()
    except Fatal as error:
        worker.fatal(error.kind, str(error))
    except ImportError as error:
        worker.fatal("ImportError", f"the engine cannot be imported: {error}")
    except BaseException as error:
        trace = traceback.format_exception(type(error), error, error.__traceback__, 20)
        worker.fatal(type(error).__name__, "".join(trace))
