"""The zygote: the process that every job is forked from. It holds the engine, warm, and nothing of any job.

The broker sends it a specification and descriptors for each job. It forks a keeper, which reads the specification; the
zygote itself does not, and overwrites it, so that no later job inherits a byte of an earlier one.
"""

import array
import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback

from flowgate_keeper import keep, kill_descendants
from flowgate_warm import hello, preload
from flowgate_wire import *

DESCRIPTORS = 6  # of a job: its leash, requests, answers, standard output, standard error, archive
BURIALS = 300  # attempts to find all processes of a job whose keeper was killed


class Zygote:
    """One blocking loop: fork a keeper for each request, and reap those that have ended."""

    def __init__(self, control):
        self.control = control
        self.request = memoryview(bytearray(MAX_SPEC))
        self.keepers = set()

    def say(self, letter, body):
        data = json_bytes(body)
        self.control.sendall(struct.pack(">Ic", len(data) + 1, letter) + data)

    def serve(self):
        woken, wake = os.pipe()
        for fd in (woken, wake):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
            self.reap()
            if self.control.fileno() in ready:
                self.take()

    def reap(self):
        with contextlib.suppress(ChildProcessError):
            while True:
                pid = os.waitpid(-1, os.WNOHANG)[0]
                if not pid:
                    return
                self.keepers.discard(pid)

    def take(self):
        """Takes one request. The end of the broker is the end of the zygote; the keepers see it themselves."""
        count, ancillary, _, _ = self.control.recvmsg_into([self.request[:4]], socket.CMSG_SPACE(4 * DESCRIPTORS))
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        while 0 < count < 4:
            count += self.control.recv_into(self.request[count:4]) or -count
        if count <= 0:
            os._exit(0)
        size = struct.unpack_from(">I", self.request)[0]
        count = 0
        while count < size:
            part = self.control.recv_into(self.request[count:size])
            if not part:
                os._exit(0)
            count += part
        leash, *pipes = descriptors
        if not pipes:
            self.kill_orphans()
        self.fork(size, leash, pipes)
        self.request[:size] = bytes(size)
        for fd in descriptors:
            os.close(fd)

    def fork(self, size, leash, pipes):
        try:
            pid = os.fork()
        except OSError as error:  # no process is left: this job's trouble, nobody else's
            with contextlib.suppress(OSError):
                os.write(leash, struct.pack(">i", REFUSED) + str(error.strerror).encode()[: MAX_REPORT - 4])
            return
        if pid == 0:
            try:
                self.control.close()
                keep(json.loads(bytes(self.request[:size])), leash, pipes)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        self.keepers.add(pid)

    def kill_orphans(self):
        """Kills what a killed keeper left: its processes have become children of this one."""
        for _ in range(BURIALS):
            self.reap()
            # Twice, as a scan may miss a process that changes its parent under it.
            if not any([kill_descendants(os.getpid(), self.keepers) for _ in range(2)]):
                return
            time.sleep(0.01)


def main():
    control = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, PRIVATE_FD))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in WORKER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    zygote = Zygote(control)
    kind = None
    try:
        own, isolation = os.environ.pop("FLOWGATE_OWN"), os.environ.pop("FLOWGATE_ISOLATION")
        os.chdir(own)
        preload(own)
        os.chdir("/")
        for number in WORKER_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        sys.argv = ["flowgate"]
        said = hello(isolation)
        gc.collect()
        gc.freeze()
        zygote.say(b"H", said)
        zygote.serve()
    except Fatal as error:
        kind, message = error.kind, str(error)
    except ImportError as error:
        kind, message = "ImportError", f"the engine cannot be imported: {error}"
    except BaseException as error:
        kind, message = type(error).__name__, "".join(traceback.format_exception(type(error), error, error.__traceback__, 20))
    if kind:
        with contextlib.suppress(OSError):
            zygote.say(b"F", {"type": kind, "message": clip(message, MESSAGE_BYTES)})
    os._exit(2)
