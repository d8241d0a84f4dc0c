"""What the worker does for an ordinary flow, and how flows end. No test asserts a duration.

Run all with `FLOWGATE_TEST_PYTHON=.../bin/python python3 -m unittest discover -s tests/worker`.
"""

import os
import signal
import time
import unittest
from pathlib import Path

from harness import *


class Ordinary(Shared):
    def test_hello_names_the_environment(self):
        worker = Worker()
        hello = worker.hello()
        self.assertEqual(hello["protocol"], 2)
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
    def test_no_thread_and_no_descriptor_too_many_after_the_start(self):
        worker = Worker()
        worker.hello()
        worker.one(tool_flow("return x"))
        for pid, sockets, pipes in ((worker.process.pid, 1, 2), (worker.zygote(), 1, 2)):
            directory = Path(f"/proc/{pid}")
            self.assertIn("Threads:\t1\n", (directory / "status").read_text())
            links = [os.readlink(entry) for entry in (directory / "fd").iterdir()]
            # Between the two; to the host, and for the end of a keeper.
            self.assertEqual(len([link for link in links if link.startswith("socket:")]), sockets, links)
            self.assertEqual(len([link for link in links if link.startswith("pipe:")]), pipes, links)
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

    def test_the_engines_own_client_works_in_a_node(self):
        """Its locks were made before the fork, and in the worker's home."""
        body = """
import pathlib
from promptflow.client import PFClient
from promptflow._sdk._orm.session import trace_mgmt_db_session
from promptflow._sdk._utilities import general_utils as utils
from promptflow._sdk._utilities import tracing_utils
client = PFClient()
found = [client.connections.list(), client.runs.list(), client.flows.test(flow='inner', inputs={'x': x})]
with trace_mgmt_db_session(), utils._encryption_key_lock, utils._refresh_connection_dir_lock:
    found.append(type(tracing_utils._telemetry_helper._lock).__name__)
found.append(sorted(path.name for path in pathlib.Path.home().glob('.promptflow/*.sqlite')))
return repr(found)
"""
        inner = {f"inner/{name}": text for name, text in tool_flow("return x + x").items()}
        for _, worker in self.kinds():
            for _ in range(2):  # the second job finds nothing of the first one
                found = worker.one({**tool_flow(body), **inner})
                self.assertEqual(found["status"], "Completed", found)
                expected = "[[], [], {'out': 'hihi'}, 'lock', ['pf.sqlite', 'trace.sqlite']]"
                self.assertEqual(found["output"]["out"], expected)

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
            "PythonLoadError": {
                "flow.dag.yaml": flow_yaml(),
                "a.py": "import nowhere_to_be_found\n" + TOOL + "    return x",
            },
            "InvalidSource": {"flow.dag.yaml": flow_yaml()},
            "YAMLError": {"flow.dag.yaml": "a: [\n"},
            "NodeReferenceNotFound": {
                "flow.dag.yaml": flow_yaml().replace("inputs.x", "b.output"),
                "a.py": TOOL + "    return x",
            },
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
            self.assertTrue(error["message"].endswith(f" needs the connection `{connection}`"), error["message"])
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
                "- {name: mean, type: python, aggregation: true, source: {type: code, path: mean.py}, "
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
        files = tool_flow("return x * 5_000_000")
        channels = [worker.load(files, {"result_bytes": 16 << 20})[0] for _ in range(8)]
        for channel in channels:
            for line in range(3):
                worker.send(LINE, channel, {"line": line, "inputs": {"x": "abc"}})
        start, seen = worker.resident(), []
        while len(seen) < 4 or len(set(seen[-4:])) > 1 or seen[-1] < start + 10_000:
            time.sleep(0.3)  # the host reads nothing until the worker has taken all it will
            seen.append(worker.resident())
        self.assertLess(seen[-1], 400_000, "kB; all results together are 360 MB, the engine alone is 140")
        for channel in channels:
            for line in range(3):
                self.assertEqual(len(worker.receive(channel, RESULT)["output"]["out"]), 15_000_000)
            worker.close(channel)

    def test_the_end_of_the_stream_ends_everything(self):
        for isolation in ("process", "uid") if ROOT else ("process",):
            worker = Worker(isolation, user=user_for(isolation))
            worker.hello()
            channel, _ = worker.load(
                tool_flow("import os, time\nos.write(2, str(os.getpid()).encode())\ntime.sleep(600)")
            )
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


class Endings(Shared):
    """However a flow ends, the host sees a defined frame."""

    def test_exits_crashes_and_endless_recursion(self):
        for _, worker in self.kinds():
            self.assertEqual(worker.one(tool_flow("raise SystemExit(4)"))["error"]["type"], "SystemExit")
            self.assertEqual(
                worker.one(tool_flow("raise KeyboardInterrupt()"))["status"] in ("Failed", "Canceled"), True
            )
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
        self.assertEqual(
            (result["status"], result["error"]["type"], result["output"]), ("Failed", "OutputTooLarge", None)
        )
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
