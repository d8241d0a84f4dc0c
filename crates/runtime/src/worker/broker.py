"""The broker: moves frames between flowgates and the jobs that run their flows. Standard library only.

No package of the environment is ever imported here. The processes of a runtime:

* the broker: one single-threaded loop that moves frames and never blocks on a flow or on a client;
* the zygote, which has the engine loaded and forks;
* one keeper per job: the sub-reaper of everything the job starts. It kills and buries all of it,
  removes the job's files and only then reports;
* the job: loads one flow and executes its lines in the order they arrive.

The broker obeys. Timeouts, retries and verdicts are the host's. PROTOCOL.md describes the frames.
"""

import array
import collections
import contextlib
import fcntl
import json
import os
import platform
import re
import resource
import select
import signal
import socket
import struct
import sys
import time

from flowgate_archives import Archives, Upload
from flowgate_client import Client, Gone
from flowgate_memory import Memory
from flowgate_places import Places, choose_root, connected_as
from flowgate_sources import BOOTSTRAP, ZYGOTE
from flowgate_streams import NET, Streams
from flowgate_wire import *


class Job:
    """What the broker knows of one channel."""

    def __init__(self, client, channel, request):
        self.client, self.channel, self.request = client, channel, request
        self.output_left, self.dropped = request["output_bytes"], 0
        self.place = self.upload = self.spec = None
        self.leash, self.report, self.gone = None, b"", False
        self.kills_before = 0  # processes that were killed as memory ran out
        self.requests = self.answers = None
        self.streams, self.net = {}, None
        self.inbox, self.waiting = collections.deque(), 0
        self.buffer, self.expected = bytearray(), collections.deque()
        self.was_told = self.opened = self.loaded = self.closing = False
        self.reason, self.detail, self.burials = None, "", 0

    def descriptors(self):
        return [fd for fd in (self.requests, self.answers, *self.streams) if fd is not None]


class Broker:
    """One loop over non-blocking descriptors. Nothing that a job or a client does can make it wait, grow or fall."""

    def __init__(self, lease):
        self.lease, self.idle, self.listener = lease, None, None
        self.clients, self.connecting = [], []
        self.jobs, self.in_line = set(), collections.deque()
        self.places = self.archives = self.zygote = None
        self.from_zygote, self.hello, self.own = bytearray(), None, None
        self.began = self.used = time.monotonic()
        self.lines = 0
        self.memory = Memory()
        self.kills_told = self.memory.kills()  # of those since the control group was made

    # The start.

    def start(self, isolation, listens):
        root = choose_root(isolation)
        self.own = os.path.join(root, ".flowgate" if listens else f"worker-{os.urandom(12).hex()}")
        os.mkdir(self.own, 0o700)
        self.places = Places(root, int(os.environ.get("FLOWGATE_PLACES", 0)), isolation)
        self.archives = Archives(os.path.join(self.own, "archives"))
        if listens:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(os.path.join(self.own, "attach"))
            self.listener.listen(16)
            self.listener.setblocking(False)
        self.start_zygote(isolation)

    def start_zygote(self, isolation):
        home = os.path.join(self.own, "home")
        os.mkdir(home, 0o700)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGATE_")}
        variables.update(FLOWGATE_OWN=home, FLOWGATE_ISOLATION=isolation)
        self.zygote, theirs = socket.socketpair()
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
        command = [sys.executable, "-I", "-B", "-c", BOOTSTRAP]
        ignored = (signal.SIGINT, signal.SIGCHLD)
        os.posix_spawn(sys.executable, command, variables, file_actions=actions, setsigdef=ignored)
        theirs.close()
        source = json.dumps(ZYGOTE).encode()
        with contextlib.suppress(OSError):  # its end is noticed where its words are awaited
            self.zygote.sendall(struct.pack(">I", len(source)) + source)
        self.zygote.setblocking(False)

    def read_zygote(self):
        with contextlib.suppress(BlockingIOError):
            try:
                data = self.zygote.recv(CHUNK)
            except ConnectionError:
                data = b""
            if not data:
                why = "because memory ran out" if self.memory.kills() > self.kills_told else "for an unknown reason"
                raise Fatal("ZygoteEnded", f"the process that holds the engine was killed {why}")
            self.from_zygote += data
        if len(self.from_zygote) < 4 or len(self.from_zygote) < 4 + struct.unpack_from(">I", self.from_zygote)[0]:
            return
        kind, body = self.from_zygote[4:5], bytes(self.from_zygote[5:])
        self.from_zygote.clear()
        if kind == b"F":
            said = json.loads(body)
            raise Fatal(said["type"], said["message"])
        self.hello = json_bytes({**json.loads(body), "places": self.places.count})
        self.used = time.monotonic()
        for client in self.clients:
            client.send(HELLO, 0, self.hello)

    # Clients.

    def add(self, client):
        self.clients.append(client)
        if self.hello:
            client.send(HELLO, 0, self.hello)

    def accept(self):
        with contextlib.suppress(OSError):  # it has left, or no descriptor is free
            relay = self.listener.accept()[0]
            _, uid, _ = struct.unpack("3i", relay.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid != os.geteuid() or len(self.clients) + len(self.connecting) >= MAX_CLIENTS:
                return relay.close()
            relay.setblocking(False)
            self.connecting.append(relay)

    def connect(self, relay):
        """Takes the two descriptors that a relay hands over."""
        descriptors = array.array("i")
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(ConnectionError):
                for _, _, data in relay.recvmsg(1, socket.CMSG_SPACE(2 * 4))[1]:
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            self.connecting.remove(relay)
            if len(descriptors) == 2:
                return self.add(Client(*descriptors, relay))
            for fd in descriptors:
                os.close(fd)
            relay.close()

    def drop(self, client):
        """The client has gone: its jobs end, nobody else's. Where its stream is the lease, all is over."""
        if self.lease == "stream":
            self.stop(0)
        self.in_line = collections.deque(job for job in self.in_line if job.client is not client)
        for job in list(client.jobs.values()):
            if job.leash is None:
                self.forget(job)
            else:
                self.end(job, "killed", "")
                job.client = None
        self.clients.remove(client)
        client.close()

    def tell(self, client):
        state = {"clients": len(self.clients), "jobs": len(self.jobs), "in_line": len(self.in_line)}
        state.update(lines=self.lines, idle=self.idle, seconds=round(time.monotonic() - self.began, 3))
        state.update(own_jobs=len(client.jobs), unused=0 if self.jobs else round(time.monotonic() - self.used, 3))
        client.send(STATE, 0, state)

    # From a client.

    def take_frames(self, client):
        if client.rests():
            return
        try:
            client.has_more = False
            left = FRAMES_A_TURN
            while left > 0:
                if client.is_full():
                    client.has_more, client.until = True, 0  # as soon as it reads again
                    return
                if not client.has_frame():
                    return
                kind, channel, payload = client.next_frame()
                self.take(client, kind, channel, payload)
                left -= 1 if channel else COMMAND_WEIGHT
            client.rest(REST if len(self.clients) > 1 else 0)
        except Fatal as error:  # its fault, nobody else's
            if self.lease == "stream":
                raise
            with contextlib.suppress(Gone):
                client.send(FATAL, 0, {"type": error.kind, "message": clip(error, MESSAGE_BYTES)})
                client.write()
            self.drop(client)

    def take(self, client, kind, channel, payload):
        if channel == 0 and kind in (STATUS, SET, STOP):
            return self.command(client, kind, payload)
        if kind == OPEN:
            return self.open(client, channel, payload)
        if kind not in (DATA, CLOSE, KILL, *ANSWER, *NET):
            raise Fatal("ProtocolError", f"unknown frame kind {kind:#04x}")
        if not 0 < channel <= client.last_channel:
            raise Fatal("ProtocolError", f"frame of kind {kind:#04x} for channel {channel}, which was never opened")
        job = client.jobs.get(channel)
        if job is None or job.reason:
            return None  # crossed with ENDED, or about to
        if kind == KILL:
            return self.end(job, "killed", "")
        if kind == DATA:
            return self.take_data(job, payload)
        if kind in NET:
            if job.net is None or not job.net.receive(kind, payload):
                raise Fatal("ProtocolError", f"frame of kind {kind:#04x} out of place on channel {channel}")
            return None
        if job.closing or not job.opened or job.upload:
            raise Fatal("ProtocolError", f"frame of kind {kind:#04x} out of place on channel {channel}")
        if kind in ANSWER:
            job.expected.append(ANSWER[kind])
            self.lines += 1
        job.closing = kind == CLOSE
        if job.requests is not None:
            job.inbox.append(memoryview(struct.pack(">IB", len(payload) + 1, kind) + payload))
            job.waiting += len(payload) + 5
            if job.loaded and job.waiting > MAX_WAITING:
                self.end(job, "protocol", "the job does not take its requests")
        return None

    def command(self, client, kind, payload):
        try:
            request = json.loads(payload or b"{}")
            if request.get("use"):
                self.used = time.monotonic()
            if kind == SET:
                idle = request["idle"]
                if self.lease == "stream" or not (idle is None or 0 < idle <= 366 * 86_400):
                    raise ValueError
                self.idle, self.used = idle, time.monotonic()
            force = bool(request.get("force"))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise Fatal("ProtocolError", f"a malformed frame of kind {kind:#04x}") from None
        others = len(self.jobs) - len(client.jobs)
        if kind == STOP and (force or not others):
            self.stop(0)
        self.tell(client)

    def open(self, client, channel, payload):
        try:
            request = json.loads(payload)
            limits = request.get("limits") or {}
            variables = request.get("net")
            request = {"flow_file": request["flow_file"], "sha256": request["sha256"], "size": request["tar_bytes"]}
            request["net"] = None if variables is None else dict(variables.items())
            request["output_bytes"] = int(limits.get("output_bytes", MIB))
            request["result_bytes"] = min(int(limits.get("result_bytes", 8 * MIB)), MAX_FRAME - 5)
            bad = not inner_parts(request["flow_file"]) or len(request["flow_file"]) > 4 * KIB
            bad = bad or not re.fullmatch("[0-9a-f]{64}", request["sha256"])
            request["size"] = int(request["size"])
            bad = bad or not 0 < request["size"] <= MAX_TAR
            bad = bad or request["output_bytes"] < 0 or request["result_bytes"] < KIB
            bad = bad or not are_variables(request["net"] or {})
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            bad = True
        if bad:
            raise Fatal("ProtocolError", f"the OPEN of channel {channel} is malformed or asks for impossible limits")
        if channel <= client.last_channel:
            raise Fatal("ProtocolError", f"channel {channel} is not above {client.last_channel}, the last one opened")
        if len(client.jobs) >= MAX_JOBS:
            raise Fatal("ProtocolError", f"more than {MAX_JOBS} channels are open")
        client.last_channel = channel
        job = client.jobs[channel] = Job(client, channel, request)
        self.jobs.add(job)
        self.in_line.append(job)

    def let_in(self):
        """Gives free places to who waits for one: to the client that has the fewest, then to who came first."""
        while self.in_line and self.places.are_lost():
            self.refuse(self.in_line[0], "it cannot be started: earlier jobs left what cannot be removed in every place")
        while self.places.are_free():
            held = collections.Counter(job.client for job in self.jobs if job.place and job.client)
            # Who does not take what its jobs have said gets no more of them.
            ready = [job for job in self.in_line if not job.client.is_full()]
            if not ready:
                break
            job = min(ready, key=lambda job: held[job.client])
            self.in_line.remove(job)
            job.place, job.opened = self.places.take(), True
            if job.place is None:
                self.refuse(job, "it cannot be started: every identity for jobs is in use")
                continue
            try:
                archive = self.archives.open(job.request["sha256"])
                if archive is None:
                    job.upload = Upload(self.archives, job.request["sha256"], job.request["size"])
            except OSError as error:
                self.refuse(job, f"the flow cannot be kept: {error.strerror}")
                continue
            job.client.send(OPENED, job.channel, {"need": archive is None})
            if archive is not None:
                self.begin(job, archive)
        for job in self.in_line:
            if not job.was_told:
                job.was_told = True
                job.client.send(WAITING, job.channel, {})

    def take_data(self, job, payload):
        if job.upload is None or len(payload) > job.upload.left or job.closing:
            raise Fatal("ProtocolError", f"frame of kind {DATA:#04x} out of place on channel {job.channel}")
        try:
            job.upload.write(payload)
            if job.upload.left:
                return None
            if not job.upload.finish():
                raise Fatal("ProtocolError", f"the archive of channel {job.channel} is not what its hash says")
            job.upload = None
            return self.begin(job, self.archives.open(job.request["sha256"]))
        except OSError as error:
            return self.refuse(job, f"the flow cannot be kept: {error.strerror}")

    # Jobs.

    def begin(self, job, archive):
        """Has the zygote start the job."""
        directory = os.path.join(job.place.directory, f"job-{os.urandom(12).hex()}")
        job.spec = {"directory": directory, "uid": job.place.uid, "flow_file": job.request["flow_file"]}
        job.spec["result_bytes"] = job.request["result_bytes"]
        job.kills_before = self.memory.kills()
        theirs = [archive]
        try:
            if job.request["net"] is not None:
                job.net = self.listen_for(job)
                port = str(job.net.port)
                job.spec["variables"] = {k: v.replace("{port}", port) for k, v in job.request["net"].items()}
            requests, job.requests = os.pipe()
            theirs.append(requests)
            job.answers, answers = os.pipe()
            theirs.append(answers)
            for stream in (1, 2):
                ours, other = os.pipe()
                job.streams[ours] = stream
                theirs.append(other)
            for fd in job.descriptors():
                os.set_blocking(fd, False)
            self.ask_zygote(job, [*theirs[1:], archive])
        except OSError as error:  # no descriptor is left: this job's trouble, nobody else's
            self.refuse(job, f"it cannot be started: {error.strerror}")
        finally:
            for fd in theirs:
                os.close(fd)

    def listen_for(self, job):
        """A listener on loopback, which all jobs can reach, for this one alone."""

        def send(kind, payload):
            if job.client:
                job.client.send(kind, job.channel, payload)

        return Streams(send, lambda peers, port: connected_as(job.place.uid, peers, port))

    def ask_zygote(self, job, descriptors):
        """A keeper for this job; without descriptors, one that buries it."""
        ours, theirs = socket.socketpair()
        with theirs:
            data = json_bytes(job.spec)
            self.zygote.setblocking(True)  # it does nothing but take these
            try:
                socket.send_fds(self.zygote, [struct.pack(">I", len(data)) + data], [theirs.fileno(), *descriptors])
            except OSError:
                ours.close()
                raise
            finally:
                self.zygote.setblocking(False)
        ours.setblocking(False)
        job.leash, job.gone, job.report = ours, False, b""

    def refuse(self, job, detail):
        job.reason = "refused"
        body = {"reason": "refused", "exit": None, "signal": None, "output_dropped": 0, "detail": detail}
        job.client.send(ENDED, job.channel, body)
        self.forget(job)

    def forget(self, job):
        """Lets go of all that the broker holds for a job of which no process is left."""
        for fd in job.descriptors():
            os.close(fd)
        job.requests, job.answers, job.streams = None, None, {}
        if job.net:
            job.net.close()
            job.net = None
        if job.upload:
            job.upload.drop()
        if job in self.in_line:
            self.in_line.remove(job)
        if job.client:
            del job.client.jobs[job.channel]
        self.jobs.discard(job)
        self.used = time.monotonic()
        if job.place:
            self.places.give_back(job.place)
            job.place = None

    # From and to a job. Every byte that comes from one is hostile.

    def end(self, job, reason, detail):
        """Ends a job early. Its keeper does the work; ENDED follows when it reports."""
        job.reason, job.detail = job.reason or reason, job.detail or detail
        job.inbox.clear()
        job.waiting = 0
        if job.leash is None:  # it has no process yet
            if job.client:
                body = {"reason": job.reason, "exit": None, "signal": None, "output_dropped": 0, "detail": detail}
                job.client.send(ENDED, job.channel, body)
            return self.forget(job)
        if reason == "protocol":
            self.shut(job, job.answers)
            job.buffer.clear()
        with contextlib.suppress(OSError):
            job.leash.shutdown(socket.SHUT_WR)
        return None

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
            if kept and job.client:
                job.client.send(OUTPUT, job.channel, bytes([job.streams[fd]]) + kept)
        return len(data)

    def take_answers(self, job):
        while len(job.buffer) >= 5:
            size, kind = struct.unpack_from(">IB", job.buffer)
            due = LOADED if not job.loaded else job.expected[0] if job.expected else None
            if kind != due or not 1 < size <= job.request["result_bytes"] + 1:
                detail = f"the job sent kind {kind:#04x} with {size} bytes where {answer_name(due)} was due"
                return self.end(job, "protocol", detail)
            if len(job.buffer) < 4 + size:
                return None
            if job.client:
                job.client.send(kind, job.channel, bytes(job.buffer[5 : 4 + size]))
            del job.buffer[: 4 + size]
            if job.loaded:
                job.expected.popleft()
            job.loaded = True
        return None

    def move_net(self, job, number):
        if job.net:
            job.net.ready(number)

    def read_leash(self, job):
        with contextlib.suppress(BlockingIOError):
            try:
                data = job.leash.recv(MAX_REPORT)
            except ConnectionError:
                data = b""
            job.report = (job.report + data)[:MAX_REPORT]
            if not data:
                job.leash.close()
                job.gone = True

    def settle(self, job):
        """Finishes a job whose keeper has gone; False while there is still something to wait for."""
        if len(job.report) < 4:  # the keeper was killed: its job is an orphan now
            job.reason, job.burials = job.reason or "exited", job.burials + 1
            if job.burials <= 3:
                try:
                    self.ask_zygote(job, [])
                    return False
                except OSError:
                    return False  # the next turn of the loop tries again
            job.report = struct.pack(">i", -signal.SIGKILL) + b"the job's keeper was killed again and again"
        code = struct.unpack_from(">i", job.report)[0]
        remark = job.report[4:].decode("utf-8", "replace")
        if code == REFUSED:
            job.reason, job.detail, code = "refused", f"it cannot be started: {remark}", 0
        elif job.burials:
            code = -signal.SIGKILL
        for fd in job.descriptors():
            left = MAX_DRAIN
            while left > 0 and fd in job.descriptors() and fd != job.requests:
                count = self.read_job(job, fd)
                left = left - count if count else 0
        reason = job.reason or ("closed" if job.closing and code == 0 and not job.expected else "exited")
        body = {"reason": reason, "exit": code if code >= 0 else None, "signal": -code if code < 0 else None}
        if reason == "refused":
            body["exit"] = None
        if reason == "exited" and code == -signal.SIGKILL and self.memory.is_known():
            body.update(out_of_memory=self.ran_out(job), memory=self.memory.limit())
        if job.client:
            body.update(detail=job.detail or remark, output_dropped=job.dropped)
            job.client.send(ENDED, job.channel, body)
        if remark and reason != "refused":  # what left something behind is not used again
            job.place = None
            self.places.give_up()
        self.forget(job)
        return True

    def ran_out(self, job):
        """Whether the kernel has killed more processes since the job began than jobs that were told so: it does not say
        which, so that another one's may count."""
        before = max(job.kills_before, self.kills_told)
        ran_out = self.memory.kills() > before
        if ran_out:
            self.kills_told = before + 1
        return ran_out

    # The loop.

    def step(self):
        poll, handlers = select.poll(), {}

        def watch_fd(fd, events, handler, *arguments):
            poll.register(fd, events)
            handlers[fd] = (handler, arguments)

        watch_fd(self.zygote.fileno(), select.POLLIN, self.read_zygote)
        if self.listener:
            watch_fd(self.listener.fileno(), select.POLLIN, self.accept)
        for relay in self.connecting:
            watch_fd(relay.fileno(), select.POLLIN, self.connect, relay)
        for client in self.clients:
            listens = self.hello and not client.has_more and not client.is_paused() and not client.is_full()
            watch_fd(client.source, select.POLLIN if listens else 0, self.hear, client)
            watch_fd(client.sink, select.POLLOUT if client.outbox else 0, self.write, client)
        for job in self.jobs:
            if job.leash is None or job.gone:
                continue
            watch_fd(job.leash.fileno(), select.POLLIN, self.read_leash, job)
            if job.inbox:
                watch_fd(job.requests, select.POLLOUT, self.write_job, job)
            if job.client and not job.client.is_full():
                for fd in job.descriptors():
                    if fd != job.requests:
                        watch_fd(fd, select.POLLIN, self.read_job, job, fd)
            if job.net and job.client:
                for fd, events, number in job.net.watched(not job.client.is_full()):
                    watch_fd(fd, events, self.move_net, job, number)
        for fd, events in poll.poll(self.patience()):
            handler, arguments = handlers[fd]
            if handler in (self.hear, self.write):
                handler(*arguments, events)
            elif handler == self.read_job:
                job, fd = arguments
                if fd in job.descriptors():
                    self.read_job(job, fd)
            elif handler != self.write_job or arguments[0].requests is not None:
                handler(*arguments)
        for client in list(self.clients):
            self.take_frames(client)
        for job in [job for job in self.jobs if job.gone]:
            self.settle(job)
        self.let_in()
        for client in list(self.clients):
            self.write(client)
        if self.hello and self.idle is not None and not self.jobs and time.monotonic() - self.used >= self.idle:
            self.stop(0)

    def patience(self):
        """How long to wait for something to happen, in milliseconds."""
        if any(job.gone for job in self.jobs):
            return 10
        resting = [client.until for client in self.clients if client.has_more and not client.is_full()]
        if resting:
            return max(0, min(resting) - time.monotonic()) * 1000
        if self.places.are_free() and any(not job.client.is_full() for job in self.in_line):
            return 0
        if self.idle is None or self.jobs or not self.hello:
            return None
        return max(0, min(self.used + self.idle - time.monotonic(), 3600)) * 1000 + 1

    def hear(self, client, events):
        if client in self.clients:
            try:
                client.read(events)
            except Gone:
                self.drop(client)

    def write(self, client, events=0):
        if client in self.clients:
            try:
                if events & (select.POLLERR | select.POLLHUP):
                    raise Gone
                client.write()
            except Gone:
                self.drop(client)

    def stop(self, code):
        """Ends every job and then the worker. A keeper that takes longer than this waits finishes alone."""
        held = [job for job in self.jobs if job.leash is not None and not job.gone]
        for job in held:
            with contextlib.suppress(OSError):
                job.leash.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 2
        while held and time.monotonic() < deadline:
            poll = select.poll()
            for job in held:
                poll.register(job.leash, select.POLLIN)
            poll.poll(100)
            for job in held:
                self.read_leash(job)
            held = [job for job in held if not job.gone]
        if self.own:
            with contextlib.suppress(OSError):
                remove_tree(self.own)
        if self.places:
            self.places.remove_own()
        os._exit(code)

    def fatal(self, kind, message):
        if self.lease != "stream":  # perhaps nobody is attached
            sys.stderr.write(f"{kind}: {message}\n")
            sys.stderr.flush()
        for client in self.clients:
            client.send(FATAL, 0, {"type": kind, "message": clip(message, MESSAGE_BYTES)})
        deadline = time.monotonic() + 2
        waiting = list(self.clients)
        while waiting and time.monotonic() < deadline:
            for client in list(waiting):
                with contextlib.suppress(Gone):
                    client.write()
                    if client.outbox:
                        continue
                waiting.remove(client)
            time.sleep(0.01)
        self.stop(2)

    def run(self):
        while True:
            self.step()


def allow_descriptors():
    """As many as the system lets it have, half of them for connections of jobs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    Streams.most = min(Streams.most, (most if soft == resource.RLIM_INFINITY else soft) // 2)


def are_variables(variables):
    """Whether they can be set in a process, and fit what it is started with."""
    names = all(isinstance(name, str) and name and not {"=", "\0"} & set(name) for name in variables)
    values = all(isinstance(value, str) and "\0" not in value for value in variables.values())
    return names and values and len(json_bytes(variables)) <= MAX_SPEC // 4


def answer_name(kind):
    names = {LOADED: "LOADED", RESULT: "RESULT", AGGREGATED: "AGGREGATED", NODE_RESULT: "NODE_RESULT"}
    return names.get(kind, "nothing")


def main():
    source, sink = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PRIVATE_FD) for fd in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    is_root = os.geteuid() == 0 and LINUX
    isolation = "uid" if is_root and os.environ.get("FLOWGATE_ISOLATION") != "process" else "process"
    lease = os.environ.get("FLOWGATE_LEASE", "stream")
    broker = Broker(lease)
    if lease == "stream":
        broker.add(Client(source, sink))
    else:
        os.close(source), os.close(sink)
        broker.idle = None if lease == "none" else float(lease)
    try:
        if sys.version_info < (3, 9):
            have = platform.python_version()
            raise Fatal("UnsupportedPython", f"python {have} is too old: the worker needs 3.9 or newer")
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        allow_descriptors()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: broker.stop(0))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whom nobody else reaps
        broker.start(isolation, lease != "stream")
        broker.run()
    except Fatal as error:
        broker.fatal(error.kind, str(error))
    except BaseException as error:
        import traceback

        trace = traceback.format_exception(type(error), error, error.__traceback__, 20)
        broker.fatal(type(error).__name__, "".join(trace))
