"""What every process of the worker shares: the protocol's numbers, and text and JSON that every reader accepts."""

import contextlib
import ctypes
import json
import os
import signal
import stat
import sys

PROTOCOL = 2
OPEN, DATA, LINE, AGGREGATE, CLOSE, KILL, NODE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
STATUS, SET, STOP = 0x10, 0x11, 0x12
HELLO, LOADED, RESULT, AGGREGATED, OUTPUT, ENDED = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
OPENED, NODE_RESULT, WAITING, FATAL, STATE = 0x87, 0x88, 0x89, 0x8F, 0x90
ANSWER = {LINE: RESULT, AGGREGATE: AGGREGATED, NODE: NODE_RESULT}

KIB, MIB = 1024, 1024 * 1024
MAX_FRAME = 16 * MIB  # both ways, without the length itself
MAX_DATA = MIB
MAX_TAR = 1024 * MIB
MAX_ARCHIVES, MAX_KEPT = 1024 * MIB, 256  # kept for jobs to come
MAX_MEMBERS = 100_000
HIGH_WATER = 4 * MIB  # queued for the host: above it nothing more is read from the jobs
MAX_WAITING = 2 * MAX_FRAME  # requests queued for one job
MAX_REPORT = 512  # what a keeper or the zygote says of a job's end
MAX_CLIENTS, MAX_JOBS = 64, 1024  # of a runtime; of a client
FRAMES_A_TURN, REST = 64, 0.01  # taken of one client before it waits where there are others, and for how many seconds
COMMAND_WEIGHT = 8  # frames that a question to the worker itself counts as: it costs an answer
MAX_SPEC = 64 * KIB  # what the zygote takes for one job
REFUSED = -1000  # in place of an exit code: the job was never started
CHUNK = 64 * KIB
MAX_DRAIN = MIB  # read from a dead job's pipe: the largest size a job can give it
TRACEBACK_BYTES, MESSAGE_BYTES, NODE_LOG_BYTES = 16 * KIB, 16 * KIB, 8 * KIB
MAX_DEPTH = 100  # of JSON: common readers stop at 128
PRIVATE_FD = 500  # protocol descriptors live above this number, out of the way of user code
FIRST_UID, LAST_UID = 20_000, 65_530
JOB_LIMITS = (("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 1024), ("RLIMIT_FSIZE", 1024 * MIB))
JOB_PROCESSES = 256
JOB_DIRECTORIES = ("HOME", "TMPDIR", "PF_HOME_DIRECTORY")
DENIED_ENVIRONMENT = {"PYTHONWARNINGS", "BROWSER", "PF_USE_SANDBOX_FOR_JINJA"}
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
WORKER_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LINUX = sys.platform.startswith("linux")


class Fatal(Exception):
    """Ends the worker, or one client's connection: `kind` and the text go to the host as FATAL."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def prctl(option, value):
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def clip(value, limit, tail=False):
    """`value` as text of at most `limit` bytes of UTF-8."""
    try:
        data = str(value).encode("utf-8", "replace")
    except BaseException as error:  # a str() of the flow's own
        data = f"<text that raises {type(error).__name__}>".encode()
    if len(data) > limit:
        data = b"..." + data[3 - limit :] if tail else data[: limit - 3] + b"..."
    return data.decode("utf-8", "ignore")


def read_exactly(fd, count):
    data = bytearray()
    while len(data) < count:
        part = os.read(fd, min(count - len(data), MIB))
        if not part:
            raise EOFError("the worker has gone")
        data += part
    return bytes(data)


def inner_parts(name):
    """The parts of a relative path that stays below its start, else None."""
    parts = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return None if name.startswith("/") or "\0" in name else parts


def remove_tree(top):
    """Removes a tree of any depth and mode which nobody uses any more: deeper directories are lifted to the top."""
    try:
        if not stat.S_ISDIR(os.lstat(top).st_mode):
            return os.unlink(top)
    except FileNotFoundError:
        return None
    waiting, count = [top], 0
    while waiting:
        directory = waiting.pop()
        os.chmod(directory, 0o700)
        for entry in os.scandir(directory):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif directory == top:
                waiting.append(entry.path)
            else:
                count += 1
                lifted = os.path.join(top, f"{os.urandom(8).hex()}-{count}")
                os.chmod(entry.path, 0o700)
                os.rename(entry.path, lifted)
                waiting.append(lifted)
        if directory != top:
            os.rmdir(directory)
    os.rmdir(top)


@contextlib.contextmanager
def every_digit():
    """Lifts Python's limit on the digits of an integer; at all other times it is the flow's."""
    if not hasattr(sys, "set_int_max_str_digits"):  # an old patch release, without the limit
        yield
        return
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def json_value(data):
    with every_digit():
        return json.loads(data)


def json_bytes(value):
    """`value` as strict JSON: what the engine can write keeps the engine's form, all else is text."""
    with every_digit():
        with contextlib.suppress(Exception):
            data = json.dumps(value, default=engine_json, allow_nan=False, ensure_ascii=False)
            if data.count("[") + data.count("{") <= MAX_DEPTH or not too_deep(value):
                return data.encode("utf-8", "replace")
        return json.dumps(plain(value), allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")


def engine_json(value):
    from promptflow._utils.utils import default_json_encoder

    return default_json_encoder(value)


def too_deep(value):
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = []
        for item in level:
            if isinstance(item, dict):
                nested.extend(item.values())
            elif isinstance(item, (list, tuple)):
                nested.extend(item)
        if not nested:
            return False
        level = nested
    return True


def plain(value, depth=0):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value != value:
            return "NaN"
        return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, float(value))
    if depth < MAX_DEPTH:
        if isinstance(value, dict):
            return {plain_key(key): plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item, depth + 1) for item in value]
        with contextlib.suppress(Exception):
            return plain(engine_json(value), depth + 1)
    return clip(value, MIB)


def plain_key(key):
    if isinstance(key, str):
        return key
    return json.dumps(key) if key is None or isinstance(key, bool) else clip(key, KIB)
