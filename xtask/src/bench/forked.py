"""The least that a forked job of the engine costs: what flowgate's runtimes are compared with.

    forked.py first FLOW        import the engine, warm it with the flow, run one line in this process, print
    forked.py jobs FLOW COUNT   import and warm; then fork for each job, which copies, loads and runs: seconds of each as JSON
    forked.py hold FLOW         import and warm, print, and wait for the end of standard input
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ["PF_LOGGING_LEVEL"] = "CRITICAL"
os.environ.setdefault("PF_HOME_DIRECTORY", tempfile.mkdtemp())
os.environ["PF_DISABLE_TRACING"] = "true"

from promptflow.executor import FlowExecutor  # noqa: E402

try:
    from promptflow.tools import aoai, openai, template_rendering  # noqa: F401
except ImportError:
    pass


def run(folder):
    executor = FlowExecutor.create(Path("flow.dag.yaml"), {}, Path(folder), raise_ex=False)
    return executor.exec_line({}, index=0).output


def job(flow):
    read, write = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        folder = tempfile.mkdtemp()
        shutil.copytree(flow, folder, dirs_exist_ok=True)
        os.chdir(folder)
        os.write(write, json.dumps(run(folder)).encode())
        os._exit(0)
    os.close(write)
    while os.read(read, 65536):
        pass
    taken = time.perf_counter() - began
    os.close(read)
    os.waitpid(pid, 0)
    return taken


what, flow = sys.argv[1], sys.argv[2]
run(flow)
if what == "first":
    print(run(flow))
elif what == "jobs":
    print(json.dumps([job(flow) for _ in range(int(sys.argv[3]))]))
else:
    print("ready", flush=True)
    sys.stdin.read()
