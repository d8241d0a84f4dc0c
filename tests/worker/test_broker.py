"""The broker: clients that do not disturb each other, places, archives, and nothing of one job in another.

Run all with `FLOWGATE_TEST_PYTHON=.../bin/python python3 -m unittest discover -s tests/worker`.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import unittest
from pathlib import Path

from harness import *

SLEEP = tool_flow("import time\ntime.sleep(600)")


def first_uid():
    """Workers of one machine must not share identities: tests run beside each other, and containers begin at 20,000."""
    return str(18_000 + 2 * (os.getpid() % 900))


def listening(isolation="process", lease="none", places=0, **more):
    environment = {"FLOWGATE_LEASE": lease, "FLOWGATE_FIRST_UID": first_uid(), **more}
    worker = Worker(isolation, environment=environment)
    for place in range(places):
        (worker.work / str(place)).mkdir()
        (worker.work / str(place)).chmod(0o700)
    worker.process.stdin.close()
    return worker


def ended(worker):
    """Kills a worker that outlives its clients, and removes its files."""
    worker.process.kill()
    for client in worker.attached:
        client.discard()
    worker.stop()


class Clients(unittest.TestCase):
    def setUp(self):
        self.worker = listening()
        self.addCleanup(ended, self.worker)

    def test_several_at_once_with_channels_of_their_own(self):
        clients = [self.worker.attach() for _ in range(3)]
        channels = []
        for number, client in enumerate(clients):
            self.assertEqual(client.hello()["protocol"], 2)
            channel, _ = client.load(tool_flow("return x"))
            self.assertEqual(channel, 1)
            client.send(LINE, channel, {"line": number, "inputs": {"x": str(number)}})
            channels.append(channel)
        for number, client in enumerate(clients):
            result = client.receive(channels[number], RESULT)
            self.assertEqual((result["line"], result["output"]), (number, {"out": str(number)}))
        self.assertEqual(clients[0].status()["clients"], 3)
        for client in clients:
            self.assertEqual(client.stop(), 0)

    def test_the_end_of_one_ends_its_jobs_alone(self):
        leaving, staying = self.worker.attach(), self.worker.attach()
        leaving.hello(), staying.hello()
        kept, _ = staying.load(tool_flow("return x"))
        for leave in (lambda client: client.process.stdin.close(), lambda client: client.process.stdout.close()):
            channel, _ = leaving.load(SLEEP)
            leaving.send(LINE, channel, {"line": 0, "inputs": {}})
            self.assertEqual(staying.status()["jobs"], 2)
            leave(leaving)
            self.assertTrue(eventually(lambda: staying.status()["jobs"] == 1))
            self.assertEqual(leaving.process.wait(PATIENCE), 0)
            self.assertEqual(len(self.worker.leftovers()), 1)
            leaving = self.worker.attach()
            leaving.hello()
        leaving.stop()
        self.assertEqual(staying.line(kept)["output"], {"out": "hi"})
        staying.stop()

    def test_a_killed_relay_changes_nothing_for_its_client(self):
        # It only held the descriptors while they were handed over.
        client = self.worker.attach()
        client.hello()
        client.process.kill()
        client.process.wait()
        self.assertEqual(client.one(tool_flow("return x"))["output"], {"out": "hi"})

    def test_one_that_does_not_read_holds_up_itself_alone(self):
        frozen, other = self.worker.attach(), self.worker.attach()
        frozen.hello(), other.hello()
        channel, _ = frozen.load(tool_flow("return 'r' * 3_000_000"), {"result_bytes": 8 << 20})
        for number in range(40):
            frozen.send(LINE, channel, {"line": number, "inputs": {}})
        before = self.worker.resident()
        for _ in range(10):
            self.assertEqual(other.one(tool_flow("return x"))["output"], {"out": "hi"})
        self.assertLess(self.worker.resident() - before, 40_000)
        for number in range(40):
            self.assertEqual(frozen.receive(channel, RESULT)["line"], number)
        frozen.stop(), other.stop()

    def test_one_that_floods_does_not_keep_the_others_from_their_turn(self):
        flooding, other = self.worker.attach(), self.worker.attach()
        flooding.hello(), other.hello()
        flooding.load(tool_flow("return x"))
        frames = struct.pack(">IBI", 5, KILL, 1) * 200_000  # for a job that has ended
        os.set_blocking(flooding.process.stdin.fileno(), False)
        served = 0
        while frames:
            select.select([], [flooding.process.stdin], [], PATIENCE)
            frames = frames[os.write(flooding.process.stdin.fileno(), frames[: 1 << 16]) :]
            if served < 5:
                self.assertEqual(other.one(tool_flow("return x"))["output"], {"out": "hi"})
                served += 1
        flooding.stop(), other.stop()

    def test_garbage_of_one_is_its_own_end(self):
        other = self.worker.attach()
        other.hello()
        channel, _ = other.load(tool_flow("return x"))
        endless = b'{"flow_file": "f", "sha256": "", "tar_bytes": 1e999}'
        deep = b"[" * 100_000
        cases = [b"\xff" * 64, struct.pack(">IBI", 5, 0x55, 1), struct.pack(">IBI", 7, SET, 0) + b"{}"]
        cases += [struct.pack(">IBI", 5 + len(body), OPEN, 1) + body for body in (endless, deep)]
        for data in cases:
            bad = self.worker.attach()
            bad.hello()
            bad.write(data)
            self.assertEqual(bad.receive(0, FATAL)["type"], "ProtocolError")
            self.assertEqual(bad.process.wait(PATIENCE), 0)
        self.assertEqual(other.line(channel)["output"], {"out": "hi"})
        self.assertEqual(other.status()["clients"], 1)
        other.stop()

    def test_what_hands_over_no_descriptors_is_let_go(self):
        for sent in (b"", b"x", b"x" * 1000):
            with socket.socket(socket.AF_UNIX) as peer:
                self.assertTrue(eventually((self.worker.work / ".flowgate" / "attach").exists))
                peer.connect(str(self.worker.work / ".flowgate" / "attach"))
                peer.sendall(sent)
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(PATIENCE)
                with self.subTest(sent=sent):
                    try:
                        self.assertEqual(peer.recv(1), b"")
                    except ConnectionResetError:
                        pass
        client = self.worker.attach()
        client.hello()
        self.assertEqual(client.status()["clients"], 1)
        client.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_nobody_else_may_attach(self):
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(self.worker.work / '.flowgate' / 'attach')!r})"
        self.worker.attach().hello()
        done = subprocess.run([PYTHON, "-c", code], user=NOBODY, capture_output=True, text=True)
        self.assertIn("PermissionError", done.stderr)

    def test_stop_spares_the_jobs_of_others_unless_forced(self):
        busy, other = self.worker.attach(), self.worker.attach()
        busy.hello(), other.hello()
        channel, _ = busy.load(SLEEP)
        busy.send(LINE, channel, {"line": 0, "inputs": {}})
        self.assertEqual(busy.status()["lines"], 1)  # and so it was taken
        other.send(STOP, 0, {"force": False})
        state = other.receive(0, STATE)
        self.assertEqual((state["jobs"], state["own_jobs"], state["lines"]), (1, 0, 1))
        other.send(STOP, 0, {"force": True})
        self.assertEqual(self.worker.process.wait(PATIENCE), 0)
        self.assertEqual(self.worker.leftovers(), [])

    def test_an_idle_one_ends_by_itself_and_a_busy_one_does_not(self):
        client = self.worker.attach()
        client.hello()
        channel, _ = client.load(SLEEP)
        client.send(SET, 0, {"idle": 0.05})
        self.assertEqual(client.receive(0, STATE)["idle"], 0.05)
        self.assertIsNone(self.worker.process.poll())
        client.send(KILL, channel)
        client.receive(channel, ENDED)
        self.assertEqual(self.worker.process.wait(PATIENCE), 0)
        with self.assertRaises(EOFError):
            client.next(0)


class Jobs(unittest.TestCase):
    def test_an_archive_is_sent_once(self):
        worker = Worker()
        worker.hello()
        data = tar_of(tool_flow("return x"))
        first = worker.open(None, data=data)
        worker.receive(first, LOADED)
        second = worker.ask(data)
        self.assertEqual(worker.receive(second, OPENED), {"need": False})
        self.assertNotIn("error", worker.receive(second, LOADED))
        self.assertEqual(worker.line(second)["output"], {"out": "hi"})
        worker.stop()

    def test_who_finds_no_place_waits_for_one(self):
        worker = listening(places=2, FLOWGATE_PLACES="2")
        self.addCleanup(ended, worker)
        greedy, modest = worker.attach(), worker.attach()
        self.assertEqual(greedy.hello()["places"], 2)
        modest.hello()
        data = tar_of(tool_flow("return x"))
        held = [greedy.load(None, data=data)[0] for _ in range(2)]
        more = [greedy.ask(data) for _ in range(2)]
        late = modest.ask(data)
        for client, channel in ((greedy, more[0]), (greedy, more[1]), (modest, late)):
            self.assertEqual(client.receive(channel, WAITING), {})
        greedy.close(held[0])
        # The one that has none comes before the one that has some and asked first.
        self.assertEqual(modest.receive(late, OPENED), {"need": False})
        modest.receive(late, LOADED)
        self.assertEqual(modest.line(late)["output"], {"out": "hi"})
        greedy.send(KILL, more[0])
        self.assertEqual(greedy.receive(more[0], ENDED)["reason"], "killed")
        greedy.close(held[1])
        self.assertEqual(greedy.receive(more[1], OPENED), {"need": False})
        greedy.stop(), modest.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_a_place_is_closed_to_all_others(self):
        environment = {"FLOWGATE_FIRST_UID": first_uid(), "FLOWGATE_PLACES": "2"}
        worker = Worker("uid", environment=environment)
        for place in range(2):
            (worker.work / str(place)).mkdir(mode=0o700)
            os.chown(worker.work / str(place), int(first_uid()) + 2 * place, -1)
        worker.hello()
        held, _ = worker.load(tool_flow("return x"))
        body = """
import os
own = os.getcwd().rsplit('/job-')[0]
other = own[:-1] + ('1' if own.endswith('0') else '0')
open(own + '/left', 'w').close()
found = []
for attempt in (lambda: os.listdir(other), lambda: open(other + '/left', 'w'), lambda: os.mkdir(other + '/left')):
    try:
        found.append(attempt())
    except PermissionError:
        pass
return repr(found)
"""
        for _ in range(2):
            self.assertEqual(worker.one(tool_flow(body))["output"], {"out": "[]"})
        self.assertEqual(list(worker.work.rglob("left")), [])
        worker.close(held)
        worker.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_a_place_that_its_job_has_closed_is_used_again(self):
        environment = {"FLOWGATE_FIRST_UID": first_uid(), "FLOWGATE_PLACES": "1"}
        worker = Worker("uid", environment=environment)
        (worker.work / "0").mkdir(mode=0o700)
        os.chown(worker.work / "0", int(first_uid()), -1)
        worker.hello()
        body = "import os\nos.chmod(os.getcwd().rsplit('/job-')[0], 0)\nos._exit(3)"
        for _ in range(2):
            channel, _ = worker.load(tool_flow(body))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            ended = worker.receive(channel, ENDED)
            self.assertEqual((ended["exit"], ended["detail"]), (3, ""))
        self.assertEqual(worker.one(tool_flow("return x"))["status"], "Completed")
        worker.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_identities_are_used_again_when_nothing_is_left_of_them(self):
        worker = Worker("uid", environment={"FLOWGATE_FIRST_UID": "65526"})
        worker.hello()
        flow = tool_flow("import os\nreturn str(os.getuid())")
        seen = [worker.one(flow)["output"]["out"] for _ in range(5)]
        self.assertEqual(seen, ["65526", "65528", "65526", "65528", "65526"])
        held = [worker.load(flow)[0] for _ in range(2)]
        refused = worker.receive(worker.ask(tar_of(flow)), ENDED)
        self.assertEqual(refused["reason"], "refused")
        self.assertIn("every identity for jobs is in use", refused["detail"])
        for channel in held:
            worker.close(channel)
        self.assertEqual(worker.one(flow)["status"], "Completed")
        worker.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_a_job_inherits_nothing_of_an_earlier_one(self):
        worker = Worker("uid", environment={"FLOWGATE_FIRST_UID": first_uid()})
        worker.hello()
        first, _ = worker.load({"s3cr3t-flow.dag.yaml": flow_yaml(), **tool_flow("return x")}, flow_file="s3cr3t-flow.dag.yaml")
        worker.line(first, {"x": "s3cr3t-input"})
        second, _ = worker.load({**tool_flow("return x"), "s3cr3t-file": "s3cr3t-text"})
        worker.send(LINE, second, {"line": 0, "inputs": {"x": "s3cr3t-queued"}})
        body = """
import re
found, read = set(), 0
for line in open('/proc/self/maps'):
    start, end, mode = re.match('([0-9a-f]+)-([0-9a-f]+) (.)', line).groups()
    if mode != 'r' or line.rstrip().endswith(('[vvar]', '[vsyscall]')):
        continue
    try:
        with open('/proc/self/mem', 'rb', 0) as memory:
            memory.seek(int(start, 16))
            text = memory.read(int(end, 16) - int(start, 16))
    except OSError:  # a mapped file is shorter than its map
        continue
    read += len(text)
    found.update(re.findall(b's3cr3t[-][a-z.]+', text))
assert read > 1_000_000
return repr(found)
"""
        result = worker.one(tool_flow(body))
        self.assertEqual(result["output"], {"out": "set()"}, result["error"])
        worker.stop()

    @unittest.skipUnless(ROOT, "needs root")
    def test_system_v_objects_end_with_their_job(self):
        worker = Worker("uid", environment={"FLOWGATE_FIRST_UID": first_uid()})
        worker.hello()
        body = """
import ctypes
libc = ctypes.CDLL(None)
made = [libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)]
assert min(made) >= 0, made
return repr(made)
"""
        made = eval(worker.one(tool_flow(body))["output"]["out"])
        for kind, number in zip(("shm", "sem", "msg"), made):
            rows = [line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines()[1:]]
            self.assertNotIn(str(number), [row[1] for row in rows], kind)
        worker.stop()

    def test_one_node_runs_alone(self):
        files = {
            "flow.dag.yaml": (
                "inputs: {x: {type: string, default: hi}}\n"
                'outputs: {out: {type: string, reference: "${b.output}"}}\n'
                "nodes:\n"
                '- {name: a, type: python, source: {type: code, path: a.py}, inputs: {x: "${inputs.x}"}}\n'
                '- {name: b, type: python, source: {type: code, path: a.py}, inputs: {x: "${a.output}"}}\n'
            ),
            "a.py": TOOL + "    print('ran', x)\n    return x + '!'\n",
        }
        worker = Worker()
        worker.hello()
        channel, _ = worker.load(files)
        worker.send(NODE, channel, {"node": "b", "inputs": {}, "outputs": {"a": "given"}})
        result = worker.receive(channel, NODE_RESULT)
        self.assertEqual((result["status"], result["output"], result["error"]), ("Completed", "given!", None))
        self.assertRegex(result["stdout"], r"\bran\b.*\bgiven\n")
        worker.send(NODE, channel, {"node": "b", "inputs": {}, "outputs": {"a": 5}})
        failed = worker.receive(channel, NODE_RESULT)
        self.assertEqual((failed["status"], failed["error"]["type"]), ("Failed", "TypeError"))
        worker.send(NODE, channel, {"node": "c", "inputs": {}, "outputs": {}})
        self.assertEqual(worker.receive(channel, NODE_RESULT)["status"], "Failed")
        self.assertEqual(worker.line(channel)["output"], {"out": "hi!!"})
        worker.stop()

    def test_a_killed_zygote_is_told_and_takes_its_jobs_along(self):
        worker = Worker()
        worker.hello()
        worker.load(SLEEP)
        os.kill(worker.zygote(), signal.SIGKILL)
        self.assertEqual(worker.receive(0, FATAL)["type"], "ZygoteEnded")
        self.assertEqual(worker.process.wait(PATIENCE), 2)
        self.assertEqual(worker.leftovers(), [])
        worker.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
