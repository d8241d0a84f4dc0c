"""Lines in a warm runtime, alone and then beside two clients that misbehave: seconds from LINE to RESULT of each, as JSON.

    crowd.py HARNESS CONTAINER FLOW COUNT

HARNESS is the folder of the worker's own tests, whose client this uses. One client is stopped (SIGSTOP) while its job has
lines to answer. The other sends frames as fast as they are taken, and its job prints without end; it reads what comes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from harness import *  # noqa: E402, F403


def attach():
    command = ["docker", "exec", "--interactive", sys.argv[2], "python3", "-I", "-S", "-B", "-c", source("relay"), "10"]
    client = Stream(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    client.hello()
    return client


def timed(client, channel):
    taken = []
    for number in range(int(sys.argv[4])):
        began = time.perf_counter()
        result = client.line(channel, {}, number)
        taken.append(time.perf_counter() - began)
        assert result["status"] == "Completed", result
    return taken


def flood():
    client = attach()
    channel, _ = client.load(tool_flow("import sys\nfor _ in range(4096):\n    print('x' * 4096)\nreturn x"))
    client.send(LINE, channel, {"line": 0, "inputs": {}})
    while True:
        for _ in range(100):
            client.send(STATUS, 0)
        client.frames.clear()


flow = Path(sys.argv[3])
third = attach()
channel, _ = third.load(flow)
alone = timed(third, channel)

frozen = attach()
held, _ = frozen.load(flow)
for number in range(1000):
    frozen.send(LINE, held, {"line": number, "inputs": {}})
frozen.process.send_signal(signal.SIGSTOP)
flooding = os.fork()
if not flooding:
    flood()
time.sleep(2)
crowded = timed(third, channel)
os.kill(flooding, signal.SIGKILL)
os.waitpid(flooding, 0)
frozen.process.kill()
print(json.dumps([alone, crowded]))
third.stop()
