"""What flows and hosts that mean harm achieve: nothing beyond their own result.

Under `process` isolation root is no fair attacker, so that those flows run as nobody; `uid` needs root.
Run all with `FLOWGATE_TEST_PYTHON=.../bin/python python3 -m unittest discover -s tests/worker`.
"""

import io
import json
import os
import signal
import struct
import tarfile
import unittest
from pathlib import Path

from harness import *


class Hostile(Shared):
    """A flow that means harm spoils its own result only."""

    def test_the_parents_descriptors_and_memory_are_out_of_reach(self):
        body = """
import os
done = []
pids = [os.getppid()]
while pids[-1] > 1:
    pids.append(int(open(f'/proc/{pids[-1]}/stat').read().rpartition(')')[2].split()[1]))
for pid in pids[:2]:
    for fd in range(0, 520):
        try:
            f = os.open(f'/proc/{pid}/fd/{fd}', os.O_WRONLY | os.O_NONBLOCK)
            os.write(f, b'garbage' * 100)
            done.append(f'{pid}/fd/{fd}')
        except OSError:
            pass
    try:
        os.open(f'/proc/{pid}/mem', os.O_RDWR)
        done.append(f'{pid}/mem')
    except OSError:
        pass
return repr(done)
"""
        for _, worker in self.kinds():
            self.assertEqual(worker.one(tool_flow(body))["output"], {"out": "[]"})

    def test_a_job_without_room_for_its_process_is_refused_alone(self):
        # Under `process` a flow is the worker's own user, and may change the limits of the process that forks.
        body = """
import resource
pid, soft = map(int, x.split())
resource.prlimit(pid, resource.RLIMIT_NPROC, (soft, resource.prlimit(pid, resource.RLIMIT_NPROC)[1]))
return 'done'
"""
        worker = self.worker()
        zygote = worker.zygote()
        before = Path(f"/proc/{zygote}/limits").read_text().split("Max processes")[1].split()[0]
        before = "-1" if before == "unlimited" else before
        hostile, _ = worker.load(tool_flow(body))
        self.assertEqual(worker.line(hostile, {"x": f"{zygote} 1"})["output"], {"out": "done"})
        for _ in range(3):
            ended = worker.receive(worker.open(tool_flow("return x")), ENDED)
            self.assertEqual((ended["reason"], ended["exit"], ended["signal"]), ("refused", None, None))
            self.assertIn("cannot be started", ended["detail"])
        self.assertEqual(worker.line(hostile, {"x": f"{zygote} {before}"})["output"], {"out": "done"})
        worker.close(hostile)
        self.assertEqual(worker.one(tool_flow("return x"))["output"], {"out": "hi"})
        self.assertEqual(worker.leftovers(), [])

    @unittest.skipUnless(ROOT, "needs root")
    def test_nobody_else_can_be_killed(self):
        worker = self.worker("uid")
        victim, _ = worker.load(tool_flow("return x"))
        body = """
import os, signal
for pid in [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError:
            pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
return x
"""
        self.assertEqual(worker.one(tool_flow(body))["status"], "Completed")
        self.assertEqual(worker.line(victim)["output"], {"out": "hi"})
        self.assertEqual(worker.close(victim)["reason"], "closed")

    def test_every_process_it_started_is_dead_when_it_has_ended(self):
        body = """
import os, subprocess, sys, time
def daemon(again):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(2, f'{os.getpid()} '.encode())
            if again:
                os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)'])
            time.sleep(600)
        os._exit(0)
daemon(False)
daemon(True)
p = subprocess.Popen(['sleep', '600'], start_new_session=True)
os.write(2, f'{p.pid} '.encode())
time.sleep(0.3)
return x
"""
        for _, worker in self.kinds():
            for how in (CLOSE, KILL):
                channel, _ = worker.load(tool_flow(body))
                worker.line(channel)
                worker.send(how, channel)
                worker.receive(channel, ENDED)
                pids = [int(pid) for pid in bytes(worker.output[channel]).split()]
                self.assertEqual(len(pids), 3)
                self.assertEqual([pid for pid in pids if alive(pid)], [])

    def test_a_grandchild_that_keeps_the_pipes_open_changes_nothing(self):
        body = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nos._exit(3)"
        for _, worker in self.kinds():
            channel, _ = worker.load(tool_flow(body))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            self.assertEqual(worker.receive(channel, ENDED)["exit"], 3)

    def test_forged_frames_end_the_job_as_a_protocol_violation(self):
        find = """
import os, stat, struct, time
own = [int(n) for n in os.listdir('/dev/fd')]
pipes = []
for fd in own:
    try:
        if fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode):
            pipes.append(fd)
    except OSError:
        pass
def push(data):
    for fd in pipes:
        try:
            os.write(fd, data)
        except OSError:
            pass
"""
        attacks = {
            "garbage": "push(b'\\xff' * 4096)",
            "oversized": "push(struct.pack('>IB', 1 << 31, 0x83))",
            "unknown kind": "push(struct.pack('>IB', 3, 0x8f) + b'{}')",
            "empty": "push(struct.pack('>IB', 0, 0x83))",
            "not asked for": "push((struct.pack('>IB', 3, 0x83) + b'{}') * 3)",
            "flood": "while True: push((struct.pack('>IB', 3, 0x83) + b'{}') * 1000)",
        }
        for _, worker in self.kinds():
            for name, attack in attacks.items():
                with self.subTest(attack=name):
                    channel, _ = worker.load(tool_flow(find + attack + "\ntime.sleep(600)"))
                    worker.send(LINE, channel, {"line": 0, "inputs": {}})
                    while True:
                        kind, body = worker.next(channel)
                        if kind == ENDED:
                            break
                        # An answer that was due; what it says is the host's to judge.
                        self.assertEqual((kind, body), (RESULT, {}))
                    self.assertEqual(body["reason"], "protocol", body)
                    self.assertTrue(body["detail"])

    def test_a_job_that_closes_its_pipe_or_never_reads_is_harmless(self):
        body = "import os\nfor fd in range(3, 600):\n    try:\n        os.close(fd)\n    except OSError:\n        pass\nimport time\ntime.sleep(600)"
        for _, worker in self.kinds():
            channel, _ = worker.load(tool_flow(body))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            worker.send(LINE, channel, {"line": 1, "inputs": {"x": "y" * 1_000_000}})
            self.assertEqual(worker.one(tool_flow("return x"))["status"], "Completed")
            worker.send(KILL, channel)
            worker.receive(channel, ENDED)
            channel, _ = worker.load(tool_flow("import time\ntime.sleep(600)"))
            for line in range(40):
                worker.send(LINE, channel, {"line": line, "inputs": {"x": "y" * 1_000_000}})
            ended = worker.receive(channel, ENDED)
            self.assertEqual(ended["reason"], "protocol")

    @unittest.skipUnless(ROOT, "needs root")
    def test_a_fork_bomb_is_bounded_and_buried(self):
        worker = self.worker("uid")
        body = """
import os, time
deadline = time.time() + 1
while time.time() < deadline:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
time.sleep(600)
"""
        channel, _ = worker.load(tool_flow(body))
        worker.send(LINE, channel, {"line": 0, "inputs": {}})
        self.assertEqual(worker.one(tool_flow("return x"))["status"], "Completed")
        worker.send(KILL, channel)
        self.assertEqual(worker.receive(channel, ENDED)["reason"], "killed")

    def test_the_job_of_a_killed_keeper_is_still_buried(self):
        body = """
import os, time
if os.fork() == 0:
    os.setsid()
    os.write(2, f'{os.getppid()} {os.getpid()}'.encode())
    time.sleep(600)
time.sleep(600)
"""
        for _, worker in self.kinds():
            channel, _ = worker.load(tool_flow(body))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            job, orphan = (int(pid) for pid in worker.next(channel)[1][1:].split())
            os.kill(int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
            ended = worker.receive(channel, ENDED)
            self.assertEqual((ended["reason"], ended["signal"]), ("exited", int(signal.SIGKILL)))
            self.assertFalse(alive(job) or alive(orphan))

    def test_archives_cannot_leave_the_flow_directory(self):
        def entry(name, kind=tarfile.REGTYPE, link=""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            return [info]

        cases = [
            entry("../evil"),
            entry("/tmp/evil"),
            entry("a/../../evil"),
            entry("out", tarfile.SYMTYPE, "/etc/passwd"),
            entry("out", tarfile.SYMTYPE, "../home"),
            entry("hard", tarfile.LNKTYPE, "/etc/passwd"),
            entry("device", tarfile.CHRTYPE),
            entry("pipe", tarfile.FIFOTYPE),
        ]
        worker = self.worker()
        for files in cases:
            with self.subTest(name=files[0].name):
                channel, loaded = worker.load(files)
                self.assertEqual(loaded["error"]["type"], "ValueError")
                self.assertIn("archive", loaded["error"]["message"])
                worker.receive(channel, ENDED)
        for data in (b"x", b"no tar at all" * 100, tar_of(tool_flow("return x"))[:700]):
            channel, loaded = worker.load(None, data=data)
            self.assertIn("error", loaded)
            worker.receive(channel, ENDED)
        inner = entry("linked.py", tarfile.SYMTYPE, "a.py")[0]
        buffer = io.BytesIO(tar_of(tool_flow("return x")))
        with tarfile.open(fileobj=buffer, mode="a") as archive:
            archive.addfile(inner)
        channel, loaded = worker.load(None, data=buffer.getvalue())
        self.assertNotIn("error", loaded)
        worker.close(channel)


def open_frame(data, digest):
    body = json.dumps({"flow_file": "flow.dag.yaml", "sha256": digest, "tar_bytes": len(data)}).encode()
    return struct.pack(">IBI", len(body) + 5, OPEN, 1) + body


class BadHost(Shared):
    """A host that breaks the protocol gets FATAL, and the worker ends."""

    def test_malformed_frames(self):
        cases = {
            "size": struct.pack(">IBI", 1 << 30, LINE, 1),
            "small": struct.pack(">IBI", 4, LINE, 1),
            "data": struct.pack(">IBI", (1 << 20) + 6, DATA, 1),
            "kind": struct.pack(">IBI", 5, 0x55, 1),
            "channel": struct.pack(">IBI", 5, CLOSE, 9),
            "open": struct.pack(">IBI", 7, OPEN, 1) + b"{}",
            "empty": open_frame(b"", "0" * 64),
            "hash": open_frame(b"x", "no hash"),
            "early": open_frame(b"x", "0" * 64) + struct.pack(">IBI", 7, LINE, 1) + b"{}",
            "wrong": open_frame(b"x", "0" * 64) + struct.pack(">IBI", 6, DATA, 1) + b"x",
            "more": open_frame(b"x", "0" * 64) + struct.pack(">IBI", 7, DATA, 1) + b"xx",
        }
        for name, data in cases.items():
            with self.subTest(case=name):
                worker = Worker()
                worker.hello()
                worker.write(data)
                self.assertEqual(worker.receive(0, FATAL)["type"], "ProtocolError")
                self.assertEqual(worker.process.wait(PATIENCE), 2)
                worker.stop()

    def test_a_python_without_the_engine(self):
        worker = Worker(python="/usr/bin/python3")
        fatal = worker.receive(0, FATAL)
        self.assertEqual(fatal["type"], "ImportError")
        self.assertIn("promptflow", fatal["message"])
        self.assertEqual(worker.process.wait(PATIENCE), 2)
        worker.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
