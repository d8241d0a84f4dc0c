"""The worker's outputs and metrics are those of `pf flow test` and `pf run create`.

Run all with `FLOWGATE_TEST_PYTHON=.../bin/python python3 -m unittest discover -s tests/worker`.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import *


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
            "- {name: info, type: python, source: {type: code, path: info.py}, "
            'inputs: {n: "${inputs.n}", tags: "${inputs.tags}", text: "${greet.output}"}}\n'
            '- {name: odd, type: python, source: {type: code, path: odd.py}, inputs: {n: "${inputs.n}"}, '
            'activate: {when: "${info.output.odd}", is: true}}\n'
            "- {name: sum, type: python, aggregation: true, source: {type: code, path: total.py}, "
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
                {"n": 5, "tags": '["json"]', "name": ""},
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
        return subprocess.run(command, check=False, env=variables, cwd=self.scratch, capture_output=True, text=True)

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
        run = self.pf(
            "run", "create", "--flow", str(copy), "--data", str(data), "--name", flow.name, "--column-mapping", *mapping
        )
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
