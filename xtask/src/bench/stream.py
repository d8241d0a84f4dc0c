"""Jobs over an open stream of a warm runtime: seconds from OPEN to RESULT of each, as JSON.

    stream.py HARNESS CONTAINER FLOW COUNT

HARNESS is the folder of the worker's own tests, whose client this uses.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from harness import *  # noqa: E402, F403

command = ["docker", "exec", "--interactive", sys.argv[2], "python3", "-I", "-S", "-B", "-c", source("relay"), "10"]
client = Stream(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
client.hello()
data = tar_of(Path(sys.argv[3]))
taken = []
for _ in range(int(sys.argv[4])):
    began = time.perf_counter()
    channel = client.open(None, data=data)
    client.send(LINE, channel, {"line": 0, "inputs": {}})
    client.receive(channel, LOADED)
    result = client.receive(channel, RESULT)
    taken.append(time.perf_counter() - began)
    assert result["status"] == "Completed", result
    client.close(channel)
print(json.dumps(taken))
client.stop()
