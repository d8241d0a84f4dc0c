"""Drives the real worker over its pipes, with the real engine of the interpreter in FLOWGATE_TEST_PYTHON.

Run with `FLOWGATE_TEST_PYTHON=.../bin/python python3 tests/worker/test_worker.py`. Hostile flows run under both kinds
of isolation where the machine allows it: `uid` needs root. No test asserts a duration.
"""
import collections
import contextlib
import io
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "crates" / "runtime" / "src" / "worker"
MODULES = ("wire", "job", "warm", "keeper", "worker")
PYTHON = os.environ.get("FLOWGATE_TEST_PYTHON")
ROOT = os.geteuid() == 0
OPEN, DATA, LINE, AGGREGATE, CLOSE, KILL = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
HELLO, LOADED, RESULT, AGGREGATED, OUTPUT, ENDED, FATAL = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x8F
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


def source_frame():
    modules = [[f"flowgate_{name}", (SOURCES / f"{name}.py").read_text()] for name in MODULES]
    data = json.dumps(modules).encode()
    return struct.pack(">I", len(data)) + data


class Worker:
    """A worker process and its stream, frame by frame."""

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
        command = [python or PYTHON, "-I", "-B", "-c", (SOURCES / "bootstrap.py").read_text()]
        self.process = subprocess.Popen(
            (CONTAINED if isolation == "uid" else []) + command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=variables,
            cwd="/",
            **({"user": user, "group": user, "extra_groups": []} if user else {}),
        )
        self.buffer = bytearray()
        self.frames = collections.defaultdict(collections.deque)
        self.output = collections.defaultdict(bytearray)
        self.channel = 0
        os.set_blocking(self.process.stdin.fileno(), False)
        self.write(source_frame())

    def hello(self):
        return self.receive(0, HELLO)

    # Frames.

    def write(self, data):
        view, out, source = memoryview(data), self.process.stdin.fileno(), self.process.stdout.fileno()
        while view:
            ready = select.select([source], [out], [], PATIENCE)
            if not (ready[0] or ready[1]):
                raise AssertionError("the worker takes nothing")
            if ready[0]:
                self.read_some()
            if ready[1]:
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(out, view) :]

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
            self.frames[channel].append((kind, body))

    def next(self, channel):
        while not self.frames[channel]:
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise AssertionError(f"no frame on channel {channel}: {self.errors()}")
            self.read_some()
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
        self.stderr.flush()
        return Path(self.stderr.name).read_text(errors="replace")[-4000:]

    # Jobs.

    def open(self, files, limits=None, flow_file="flow.dag.yaml", data=None):
        data = tar_of(files) if data is None else data
        self.channel += 1
        request = {"flow_file": flow_file, "tar_bytes": len(data), "limits": limits or {}}
        self.send(OPEN, self.channel, request)
        for start in range(0, len(data), 1 << 20):
            self.send(DATA, self.channel, data[start : start + (1 << 20)])
        return self.channel

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

    def leftovers(self):
        return sorted(path.name for path in self.work.iterdir() if path.name.startswith("job-"))

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.stderr.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return self.process.returncode


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
            first = 20_000 + 2 * (os.getpid() % 20_000)
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


class Ordinary(Shared):
    def test_hello_names_the_environment(self):
        worker = Worker()
        hello = worker.hello()
        self.assertEqual(hello["protocol"], 1)
        self.assertIn("promptflow", hello["packages"])
        self.assertEqual(hello["promptflow"], hello["packages"]["promptflow"])
        self.assertNotIn("promptflow_tools", hello["packages"])
        self.assertEqual(hello["markers"]["os_name"], "posix")
        self.assertEqual(hello["python"], hello["markers"]["python_full_version"])
        self.assertEqual(worker.stop(), 0)

    @unittest.skipUnless(CONTAINED, "needs root and setpriv")
    def test_uid_isolation_needs_no_more_than_three_capabilities(self):
        worker = self.worker("uid")
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        self.assertIn("CapPrm:\t00000000000000e0\n", status)
        self.assertEqual(worker.one(tool_flow("return x"))["status"], "Completed")

    @unittest.skipUnless(ROOT, "the descriptors of a non-dumpable process are root's to see")
    def test_no_thread_and_no_socket_after_the_start(self):
        worker = Worker()
        worker.hello()
        worker.one(tool_flow("return x"))
        directory = Path(f"/proc/{worker.process.pid}")
        self.assertIn("Threads:\t1\n", (directory / "status").read_text())
        links = [os.readlink(entry) for entry in (directory / "fd").iterdir()]
        self.assertEqual([link for link in links if link.startswith("socket:")], [])
        self.assertEqual(len([link for link in links if link.startswith("pipe:")]), 2, links)
        worker.stop()

    def test_defaults_coercion_and_order(self):
        flow = {
            "flow.dag.yaml": (
                "inputs: {n: {type: int, default: 3}, l: {type: list}, s: {type: string, default: d}}\n"
                'outputs: {out: {type: object, reference: "${a.output}"}}\n'
                "nodes: [{name: a, type: python, source: {type: code, path: a.py}, "
                'inputs: {n: "${inputs.n}", l: "${inputs.l}", s: "${inputs.s}"}}]\n'
            ),
            "a.py": "from promptflow.core import tool\n@tool\ndef run(n: int, l: list, s: str):\n    return [n, l, s]\n",
        }
        worker = self.worker()
        channel, loaded = worker.load(flow)
        self.assertEqual(loaded["inputs"]["n"], {"type": "int", "default": 3})
        self.assertEqual(loaded["inputs"]["l"], {"type": "list"})
        self.assertFalse(loaded["has_aggregation"])
        for number in range(3):
            worker.send(LINE, channel, {"line": number, "inputs": {"n": str(number), "l": "[1, 2]"}})
        results = [worker.receive(channel, RESULT) for _ in range(3)]
        self.assertEqual([r["line"] for r in results], [0, 1, 2])
        self.assertEqual([r["output"]["out"] for r in results], [[n, [1, 2], "d"] for n in range(3)])
        self.assertEqual(results[0]["nodes"]["a"]["status"], "Completed")
        missing = worker.line(channel, {}, 3)
        self.assertEqual((missing["status"], missing["error"]["type"]), ("Failed", "InputNotFound"))
        wrong = worker.line(channel, {"n": "many", "l": []}, 4)
        self.assertEqual(wrong["error"]["type"], "InputTypeError")
        self.assertIn("line 4", wrong["error"]["message"])
        self.assertEqual(worker.close(channel)["reason"], "closed")

    def test_flows_do_not_share_modules_or_the_engines_home(self):
        body = "import helper\nfrom promptflow.client import PFClient\nPFClient()\nreturn helper.VALUE"
        for _, worker in self.kinds():
            for value in (7, 8):
                files = {**tool_flow(body), "helper.py": f"VALUE = {value}\n"}
                self.assertEqual(worker.one(files)["output"], {"out": value})

    def test_a_flex_flow_runs(self):
        code = "class Run:\n    def __call__(self, x: str = 'q') -> dict:\n        return {'o': x}\n"
        code += "    def __aggregate__(self, rows):\n        return {'n': len(rows), 'last': rows[-1]['o']}\n"
        worker = self.worker()
        files = {"flow.flex.yaml": "entry: run:Run\n", "run.py": code}
        channel, loaded = worker.load(files, flow_file="flow.flex.yaml")
        self.assertEqual(loaded, {"inputs": {"x": {"type": "string", "default": "q"}}, "has_aggregation": True})
        self.assertEqual(worker.line(channel, {"x": "z"})["output"], {"o": "z"})
        self.assertEqual(worker.aggregate(channel, lines=[0])["metrics"], {"n": 1, "last": "z"})
        self.assertEqual(worker.aggregate(channel, aggregation_inputs=[{"o": 1}])["metrics"], {"n": 1, "last": 1})
        worker.close(channel)

    def test_a_raising_line_fails_and_the_next_one_runs(self):
        worker = self.worker()
        channel, _ = worker.load(tool_flow("print('before')\nif x == 'bad': raise KeyError('lost')\nreturn x"))
        failed = worker.line(channel, {"x": "bad"})
        self.assertEqual(failed["status"], "Failed")
        self.assertEqual((failed["error"]["type"], failed["error"]["node"]), ("KeyError", "a"))
        self.assertIn("lost", failed["error"]["message"])
        self.assertIn('File "a.py", line 5', failed["error"]["traceback"])
        self.assertIn("before", failed["nodes"]["a"]["stdout"])
        self.assertEqual(worker.line(channel, {"x": "good"}, 1)["output"], {"out": "good"})
        worker.close(channel)

    def test_load_errors_carry_the_engines_names(self):
        cases = {
            "PythonLoadError": {"flow.dag.yaml": flow_yaml(), "a.py": "import nowhere_to_be_found\n" + TOOL + "    return x"},
            "InvalidSource": {"flow.dag.yaml": flow_yaml()},
            "YAMLError": {"flow.dag.yaml": "a: [\n"},
            "NodeReferenceNotFound": {"flow.dag.yaml": flow_yaml().replace("inputs.x", "b.output"), "a.py": TOOL + "    return x"},
            "ValueError": {"flow.dag.yaml": flow_yaml().replace("type: string", "type: str")},
            "SystemExit": {"flow.dag.yaml": flow_yaml(), "a.py": "import sys\nsys.exit(3)\n"},
        }
        nodes = {"PythonLoadError": "a", "InvalidSource": "a", "NodeReferenceNotFound": "a"}
        worker = self.worker()
        for kind, files in cases.items():
            with self.subTest(kind=kind):
                channel, loaded = worker.load(files)
                self.assertEqual(loaded["error"]["type"], kind)
                self.assertLessEqual(len(loaded["error"]["traceback"].encode()), 16384)
                self.assertEqual(loaded["error"]["node"], nodes.get(kind))
                ended = worker.receive(channel, ENDED)
                self.assertEqual((ended["reason"], ended["exit"]), ("exited", 0))

    def test_a_connection_is_refused_by_name(self):
        llm = (
            "inputs: {x: {type: string, default: hi}}\noutputs: {}\n"
            "nodes: [{name: ask, type: llm, source: {type: code, path: p.jinja2}, inputs: {model: m, x: '${inputs.x}'}, "
            "connection: my_openai, api: chat}]\n"
        )
        python = flow_yaml().replace('x: "${inputs.x}"}}', "c: my_custom}}")
        code = "from promptflow.core import tool\nfrom promptflow.connections import CustomConnection\n"
        code += "@tool\ndef run(c: CustomConnection) -> str:\n    return 'x'\n"
        cases = {
            ("ask", "my_openai"): {"flow.dag.yaml": llm, "p.jinja2": "# user:\n{{x}}\n"},
            ("a", "my_custom"): {"flow.dag.yaml": python, "a.py": code},
            (None, "my_env"): tool_flow("return x", "environment_variables: {KEY: '${my_env.api_key}'}\n"),
        }
        worker = self.worker()
        for (node, connection), files in cases.items():
            error = worker.load(files)[1]["error"]
            self.assertEqual((error["type"], error["node"]), ("ConnectionRequired", node))
            self.assertIn(connection, error["message"])
            self.assertIn("flowgate passes no connection into a runtime", error["message"])
        error = worker.load({"flow.dag.yaml": llm.replace("connection: my_openai, ", ""), "p.jinja2": "x"})[1]["error"]
        self.assertEqual(error["type"], "GetConnectionError")

    def test_environment_variables_as_the_sdk_sets_them(self):
        extra = "environment_variables: {TEXT: a, NUMBER: 5, FLAG: true, LIST: [1, {a: b}], BROWSER: evil}\n"
        body = "import os\nreturn repr([os.environ.get(k) for k in ('TEXT', 'NUMBER', 'FLAG', 'LIST', 'BROWSER', 'FLOWGATE_WORK')])"
        output = self.worker().one(tool_flow(body, extra))["output"]["out"]
        self.assertEqual(output, repr(["a", "5", "True", '[1, {"a": "b"}]', None, None]))

    def test_aggregation_and_metrics(self):
        flow = {
            "flow.dag.yaml": (
                "inputs: {x: {type: double, default: 1}}\n"
                'outputs: {half: {type: double, reference: "${half.output}"}}\nnodes:\n'
                '- {name: half, type: python, source: {type: code, path: half.py}, inputs: {x: "${inputs.x}"}}\n'
                '- {name: mean, type: python, aggregation: true, source: {type: code, path: mean.py}, '
                'inputs: {xs: "${half.output}", raw: "${inputs.x}"}}\n'
            ),
            "half.py": "from promptflow.core import tool\n@tool\ndef run(x: float):\n    return x / 2\n",
            "mean.py": (
                "from promptflow.core import tool, log_metric\n@tool\ndef run(xs: list, raw: list):\n"
                "    assert all(isinstance(x, float) for x in xs + raw), (xs, raw)\n"
                "    log_metric('mean', sum(xs) / len(xs))\n    log_metric('raw', sum(raw))\n    return xs\n"
            ),
        }
        worker = self.worker()
        channel, loaded = worker.load(flow)
        self.assertTrue(loaded["has_aggregation"])
        first, second = worker.line(channel, {"x": 2}, 0), worker.line(channel, {}, 1)
        self.assertEqual(first["aggregation_inputs"], {"${half.output}": 1.0})
        values = {"${half.output}": [r["aggregation_inputs"]["${half.output}"] for r in (first, second)]}
        explicit = worker.aggregate(channel, {"x": [2, 1]}, values)
        self.assertEqual(explicit["metrics"], {"mean": 0.75, "raw": 3.0})
        self.assertIsNone(explicit["error"])
        self.assertEqual(explicit["nodes"]["mean"]["status"], "Completed")
        infinite = worker.line(channel, {"x": "inf"}, 2)
        self.assertEqual(infinite["output"], {"half": "Infinity"})
        kept = worker.aggregate(channel, lines=[0, 2])
        self.assertEqual(kept["metrics"], {"mean": "Infinity", "raw": "Infinity"})
        failed = worker.aggregate(channel, {"x": [1]}, {"${half.output}": ["text"]})
        self.assertEqual((failed["error"]["type"], failed["error"]["node"]), ("AssertionError", "mean"))
        worker.close(channel)

    def test_every_value_becomes_json(self):
        bodies = {
            "return {'n': float('nan'), 'i': [float('-inf')]}": {"n": "NaN", "i": ["-Infinity"]},
            "return {1: 'a', None: 'b', True: 'c'}": {"1": "c", "null": "b"},
            "return 'lone \\udc80 surrogate'": "lone ? surrogate",
            "return (1, 2)": [1, 2],
        }
        for body, expected in bodies.items():
            self.assertEqual(self.worker().one(tool_flow(body))["output"], {"out": expected}, body)
        deep = self.worker().one(tool_flow("v = []\nfor _ in range(150): v = [v]\nreturn v"))["output"]["out"]
        depth = 0
        while isinstance(deep, list):
            deep, depth = deep[0], depth + 1
        self.assertLess(depth, 120)
        unserializable = self.worker().one(tool_flow("return object()"))
        self.assertEqual(unserializable["error"]["type"], "FlowOutputUnserializable")

    def test_both_isolations_give_a_private_directory_and_clean_it(self):
        body = (
            "import os, tempfile, pathlib\n"
            "pathlib.Path('made').write_text('x')\ntempfile.mkstemp()\npathlib.Path.home().joinpath('h').write_text('x')\n"
            "os.makedirs('/'.join(['deep'] * 60)); os.chmod('deep', 0)\n"
            "for _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n"
            "return f'{os.getuid()} {os.getgroups()}'"
        )
        for isolation, worker in self.kinds():
            result = worker.one(tool_flow(body))
            self.assertEqual(result["status"], "Completed", result)
            if isolation == "uid":
                self.assertNotIn(result["output"]["out"].split()[0], ("0", str(NOBODY)))
                self.assertTrue(result["output"]["out"].endswith(" []"))

    @unittest.skipUnless(ROOT, "needs root")
    def test_what_a_job_leaves_in_shared_places_goes_too(self):
        name = f"flowgate-test-{os.getpid()}"
        body = f"import os\nos.makedirs('/tmp/{name}/a/b'); open('/dev/shm/{name}', 'w').write('x')\nreturn x"
        self.worker("uid").one(tool_flow(body))
        self.assertFalse(os.path.exists(f"/tmp/{name}"))
        self.assertFalse(os.path.exists(f"/dev/shm/{name}"))

    def test_many_jobs_at_once(self):
        for _, worker in self.kinds():
            channels = [worker.open(tool_flow("return x")) for _ in range(12)]
            for channel in channels:
                worker.send(LINE, channel, {"line": channel, "inputs": {"x": str(channel)}})
                worker.send(CLOSE, channel)
            for channel in channels:
                worker.receive(channel, LOADED)
                self.assertEqual(worker.receive(channel, RESULT)["output"], {"out": str(channel)})
                self.assertEqual(worker.receive(channel, ENDED)["reason"], "closed")

    def test_a_slow_host_holds_the_jobs_back_and_loses_nothing(self):
        worker = self.worker()
        channels = [worker.load(tool_flow("return x * 3_000_000"), {"result_bytes": 16 << 20})[0] for _ in range(4)]
        for channel in channels:
            for line in range(3):
                worker.send(LINE, channel, {"line": line, "inputs": {"x": "abc"}})
        quiet = time.monotonic() + 1.0
        while time.monotonic() < quiet:
            time.sleep(0.05)  # the host reads nothing; nothing below depends on how long
        resident = Path(f"/proc/{worker.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]
        self.assertLess(int(resident), 400_000, "kB")
        for channel in channels:
            for line in range(3):
                self.assertEqual(len(worker.receive(channel, RESULT)["output"]["out"]), 9_000_000)
            worker.close(channel)

    def test_the_end_of_the_stream_ends_everything(self):
        for isolation in ("process", "uid") if ROOT else ("process",):
            worker = Worker(isolation, user=user_for(isolation))
            worker.hello()
            channel, _ = worker.load(tool_flow("import os, time\nos.write(2, str(os.getpid()).encode())\ntime.sleep(600)"))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            kind, body = worker.next(channel)
            self.assertEqual(kind, OUTPUT)
            pid = int(body[1:])
            self.assertTrue(alive(pid))
            worker.process.stdin.close()
            self.assertEqual(worker.process.wait(PATIENCE), 0)
            self.assertFalse(alive(pid))
            self.assertEqual(list(worker.work.iterdir()), [])
            worker.stop()

    def test_a_killed_worker_takes_its_jobs_along(self):
        worker = Worker(user=user_for("process"))
        worker.hello()
        channel, _ = worker.load(tool_flow("import os, time\nos.write(2, str(os.getpid()).encode())\ntime.sleep(600)"))
        worker.send(LINE, channel, {"line": 0, "inputs": {}})
        pid = int(worker.next(channel)[1][1:])
        worker.process.kill()
        worker.process.wait()
        self.assertTrue(eventually(lambda: not alive(pid) and not worker.leftovers()))
        worker.stop()

    def test_kill_ends_a_hanging_line(self):
        for _, worker in self.kinds():
            channel, _ = worker.load(tool_flow("import time\ntime.sleep(600)"))
            worker.send(LINE, channel, {"line": 0, "inputs": {}})
            worker.send(KILL, channel)
            ended = worker.receive(channel, ENDED)
            self.assertEqual((ended["reason"], ended["signal"]), ("killed", int(signal.SIGKILL)))
            worker.send(LINE, channel, {"line": 1, "inputs": {}})  # crossed: ignored


def eventually(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Endings(Shared):
    """However a flow ends, the host sees a defined frame."""

    def test_exits_crashes_and_endless_recursion(self):
        for _, worker in self.kinds():
            self.assertEqual(worker.one(tool_flow("raise SystemExit(4)"))["error"]["type"], "SystemExit")
            self.assertEqual(worker.one(tool_flow("raise KeyboardInterrupt()"))["status"] in ("Failed", "Canceled"), True)
            recursive = worker.one({"flow.dag.yaml": flow_yaml(), "a.py": TOOL + "    return run(x)\n"})
            self.assertEqual(recursive["error"]["type"], "RecursionError")
            for body, expected in {
                "import os\nos._exit(7)": ("exited", 7, None),
                "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)": ("exited", None, int(signal.SIGSEGV)),
                "import ctypes\nctypes.string_at(0)": ("exited", None, int(signal.SIGSEGV)),
            }.items():
                channel, _ = worker.load(tool_flow(body))
                worker.send(LINE, channel, {"line": 0, "inputs": {}})
                ended = worker.receive(channel, ENDED)
                self.assertEqual((ended["reason"], ended["exit"], ended["signal"]), expected)

    def test_too_large_an_output_fails_its_line_alone(self):
        worker = self.worker()
        channel, _ = worker.load(tool_flow("return x * 10_000_000"), {"result_bytes": 1 << 20})
        result = worker.line(channel, {"x": "y"})
        self.assertEqual((result["status"], result["error"]["type"], result["output"]), ("Failed", "OutputTooLarge", None))
        self.assertEqual(worker.line(channel, {"x": ""}, 1)["output"], {"out": ""})
        worker.close(channel)

    def test_a_megabyte_of_output_is_captured_and_capped(self):
        for _, worker in self.kinds():
            result = worker.one(tool_flow("print('::error::' + 'x' * 1_000_000)\nreturn x"))
            self.assertEqual(result["status"], "Completed")
            self.assertIn("::error::", result["nodes"]["a"]["stdout"])
            self.assertLessEqual(len(result["nodes"]["a"]["stdout"].encode()), 8192)
            body = "import os\nfor _ in range(64): os.write(1, b'z' * 16384)\nreturn x"
            channel, _ = worker.load(tool_flow(body), {"output_bytes": 50_000})
            self.assertEqual(worker.line(channel)["status"], "Completed")
            ended = worker.close(channel)
            self.assertEqual(bytes(worker.output[channel]), b"z" * 50_000)
            self.assertEqual(ended["output_dropped"], 64 * 16384 - 50_000)

    def test_output_at_import_does_not_reach_the_protocol(self):
        files = tool_flow("return x")
        files["a.py"] = "import os, sys\nos.write(1, b'raw')\nprint('text')\n" + files["a.py"]
        worker = self.worker()
        channel, loaded = worker.load(files)
        self.assertNotIn("error", loaded)
        worker.close(channel)
        self.assertEqual(bytes(worker.output[channel]), b"rawtext\n")


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
                        self.assertEqual((kind, body), (RESULT, {}))  # an answer that was due, and is the host's to judge
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
        for data in (b"", b"no tar at all" * 100, tar_of(tool_flow("return x"))[:700]):
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


class Parity(Shared):
    """The worker's outputs and metrics are those of `pf flow test` and `pf run create`.

    FLOWGATE_TEST_FLOWS may name more directories, separated by colons: deterministic flows that use no connection.
    """

    FLOW = {
        "flow.dag.yaml": (
            "inputs: {n: {type: int, default: 2}, tags: {type: list, default: [a]}, name: {type: string, default: Ada}}\n"
            "outputs:\n"
            '  text: {type: string, reference: "${greet.output}"}\n'
            '  odd: {type: string, reference: "${odd.output}"}\n'
            '  first: {type: string, reference: "${info.output.tags[0]}"}\n'
            '  n: {type: int, reference: "${inputs.n}"}\n'
            "nodes:\n"
            '- {name: greet, type: prompt, source: {type: code, path: greet.jinja2}, inputs: {name: "${inputs.name}"}}\n'
            '- {name: info, type: python, source: {type: code, path: info.py}, '
            'inputs: {n: "${inputs.n}", tags: "${inputs.tags}", text: "${greet.output}"}}\n'
            '- {name: odd, type: python, source: {type: code, path: odd.py}, inputs: {n: "${inputs.n}"}, '
            'activate: {when: "${info.output.odd}", is: true}}\n'
            '- {name: sum, type: python, aggregation: true, source: {type: code, path: total.py}, '
            'inputs: {ns: "${inputs.n}", odds: "${odd.output}", infos: "${info.output}"}}\n'
        ),
        "greet.jinja2": "Dear {{name}},\n  ünïcode & <tags>\n",
        "info.py": (
            "from promptflow.core import tool\nfrom shared import describe\n@tool\n"
            "def run(n: int, tags: list, text: str):\n"
            "    if n == 13: raise ValueError('unlucky')\n    return describe(n, tags, text)\n"
        ),
        "shared.py": "def describe(n, tags, text):\n    return {'odd': n % 2 == 1, 'tags': tags, 'length': len(text)}\n",
        "odd.py": "from promptflow.core import tool\n@tool\ndef run(n: int) -> str:\n    return f'{n} is odd'\n",
        "total.py": (
            "from promptflow.core import tool, log_metric\n@tool\ndef run(ns: list, odds: list, infos: list):\n"
            "    log_metric('sum', sum(ns))\n    log_metric('odd', len([o for o in odds if o]) / len(odds))\n"
            "    log_metric('length', max(i['length'] for i in infos))\n"
        ),
        "data.jsonl": "".join(
            json.dumps(row) + "\n"
            for row in [
                {"n": 1, "tags": ["x", "y"], "name": "Grace"},
                {"n": "13", "tags": [{"k": 1}], "name": "Edsger"},
                {"n": 5, "tags": "[\"json\"]", "name": ""},
                {"n": 4, "tags": [None], "name": "Barbara"},
            ]
        ),
    }

    def setUp(self):
        super().setUp()
        self.scratch = Path(tempfile.mkdtemp(prefix="fg-parity-"))
        self.addCleanup(shutil.rmtree, self.scratch, True)
        self.pf("config", "set", "trace.destination=none", "telemetry.enabled=false")

    def pf(self, *arguments):
        variables = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.scratch), "PF_LOGGING_LEVEL": "CRITICAL"}
        command = [str(Path(PYTHON).parent / "pf"), *arguments]
        return subprocess.run(command, env=variables, cwd=self.scratch, capture_output=True, text=True)

    def test_outputs_and_metrics_equal_those_of_pf(self):
        own = self.scratch / "own"
        own.mkdir()
        for name, text in self.FLOW.items():
            (own / name).write_text(text)
        more = [Path(name) for name in os.environ.get("FLOWGATE_TEST_FLOWS", "").split(":") if name]
        for flow in [own, *more]:
            with self.subTest(flow=flow.name):
                self.compare(flow)

    def compare(self, flow):
        archive = tar_of(flow)
        copy = self.scratch / f"copy-{flow.name}"
        shutil.copytree(flow, copy)
        tested = self.pf("flow", "test", "--flow", str(copy))
        self.assertEqual(tested.returncode, 0, tested.stderr)
        reference = json.loads((copy / ".promptflow" / "flow.output.json").read_text())
        data = flow / "data.jsonl"
        rows = [json.loads(line) for line in data.read_text().splitlines() if line.strip()]
        worker = self.worker()
        channel, loaded = worker.load(None, data=archive)
        self.assertNotIn("error", loaded)
        self.assertEqual(worker.line(channel)["output"], reference)

        inputs = loaded["inputs"]
        mapping = [f"{name}=${{data.{name}}}" for name in inputs]
        run = self.pf("run", "create", "--flow", str(copy), "--data", str(data), "--name", flow.name, "--column-mapping", *mapping)
        self.assertEqual(run.returncode, 0, run.stderr)
        directory = self.scratch / ".promptflow" / ".runs" / flow.name
        lines = (directory / "flow_outputs" / "output.jsonl").read_text().splitlines()
        expected = {row.pop("line_number"): row for row in map(json.loads, lines)}
        results = [worker.line(channel, row, number) for number, row in enumerate(rows)]
        completed = {result["line"]: result for result in results if result["status"] == "Completed"}
        self.assertEqual({line: result["output"] for line, result in completed.items()}, expected)
        if loaded["has_aggregation"]:
            metrics = json.loads((directory / "metrics.json").read_text())
            self.assertEqual(worker.aggregate(channel, lines=list(completed))["metrics"], metrics)
            lists = {name: [rows[line].get(name, inputs[name].get("default")) for line in completed] for name in inputs}
            values = [result["aggregation_inputs"] for result in completed.values()]
            values = {key: [value[key] for value in values] for key in values[0]}
            self.assertEqual(worker.aggregate(channel, lists, values)["metrics"], metrics)
        self.assertEqual(worker.close(channel)["reason"], "closed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
