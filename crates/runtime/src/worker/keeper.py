"""The keeper: one per job, the sub-reaper of all that the job starts. It buries all of it and removes its files."""

import collections
import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import struct
import sys
import tempfile
import traceback
from pathlib import Path

from flowgate_job import serve_flow
from flowgate_warm import move_homes
from flowgate_wire import *

IPC_RMID = 0


def keep(spec, leash, pipes):
    """The life of a keeper. Reports `i32 exit code (negative: signal)` and a remark on its leash when all is gone."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in WORKER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)
    close_others({0, 1, 2, leash, *pipes})
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    code = 0
    if pipes:
        try:
            job = os.fork()
        except OSError as error:  # no process is left
            with contextlib.suppress(OSError):
                os.write(leash, struct.pack(">i", REFUSED) + str(error.strerror).encode()[: MAX_REPORT - 4])
            return
        if job == 0:
            run_job(spec, leash, pipes)
        for fd in pipes:
            os.close(fd)
        code = watch(job, leash, woken)
    bury_all(spec["uid"])
    remark = remove_files(spec)
    with contextlib.suppress(OSError):
        os.write(leash, struct.pack(">i", code) + remark.encode()[: MAX_REPORT - 4])


def run_job(spec, leash, pipes):
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        requests, answers, archive = become_job(spec, *pipes)
        serve_flow(spec, requests, answers, archive)
        code = 0
    except EOFError:
        pass
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


def become_job(spec, requests, answers, stdout, stderr, archive):
    """Turns this fork into a job: own session, identity, limits, descriptors and environment."""
    os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    for name, value in JOB_LIMITS:
        lower_limit(name, value)
    if spec["uid"]:
        lower_limit("RLIMIT_NPROC", JOB_PROCESSES)
        take_identity(spec["uid"])
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    # Only its own identity can look into a job under `uid`; under `process` that would be every other job too.
    prctl(PR_SET_DUMPABLE, 1 if spec["uid"] else 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):
            # Python ignores these two by itself, so that writes fail with an exception.
            if number not in (signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(number) is not None:
                signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    kept = tuple(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, PRIVATE_FD) for fd in (requests, answers, archive))
    close_others({0, 1, 2, *kept})
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    home, temporary = os.path.join(spec["directory"], "home"), os.path.join(spec["directory"], "tmp")
    for name in [name for name in os.environ if name.startswith("FLOWGATE_")]:
        del os.environ[name]
    os.environ.update(HOME=home, TMPDIR=temporary, TEMP=temporary, TMP=temporary, USER="flowgate", LOGNAME="flowgate")
    os.environ["PF_HOME_DIRECTORY"] = os.path.join(home, ".promptflow")
    os.environ.update(spec.get("variables", {}))
    move_homes(Path(home, ".promptflow"))
    tempfile.tempdir = None
    os.umask(0o077)
    return kept


def lower_limit(name, value):
    number = getattr(resource, name)
    hard = resource.getrlimit(number)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(number, (value, value))


def take_identity(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def close_others(kept):
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError, ValueError):
            if int(name) not in kept:
                os.close(int(name))


def watch(job, leash, woken):
    """Waits for the job's end, or ends it when the worker lets go of the leash."""
    poll = select.poll()
    poll.register(leash, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        done, status = os.waitpid(job, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        for fd, _ in poll.poll():
            if fd == leash:
                poll.unregister(leash)
                with contextlib.suppress(OSError):
                    os.kill(job, signal.SIGKILL)
                if not LINUX:
                    with contextlib.suppress(OSError):
                        os.killpg(job, signal.SIGKILL)
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)


def bury_all(uid):
    """Returns when no process that the job started is left."""
    if uid:
        # kill(-1) reaches all of the effective uid, atomically. The real uid is one that no job has, so that
        # nobody can hit back; the saved one leads home.
        os.setresuid(uid + 1, uid, 0)
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        os.setresuid(0, 0, 0)
    while True:
        try:
            if not os.waitpid(-1, 0 if uid else os.WNOHANG)[0]:
                kill_descendants(os.getpid())
                os.waitpid(-1, 0)
        except ChildProcessError:
            return


def kill_descendants(root, spare=()):
    """Stops, then kills all below `root`: what is stopped cannot fork, so the chase ends."""
    stopped = set()
    while True:
        found = descendants(root, spare) - stopped
        if not found:
            break
        for pid in found:
            send_signal(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        send_signal(pid, signal.SIGKILL)
    return stopped


def send_signal(pid, number):
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def descendants(root, spare=()):
    children = collections.defaultdict(list)
    for name in os.listdir("/proc") if LINUX else ():
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
                # A zombie counts: a process shows as one when only its first thread has ended, and still has children.
                children[int(fields[1])].append(int(name))
    found, level = set(), [root]
    while level:
        level = [pid for parent in level for pid in children[parent] if pid not in spare and pid not in found]
        found.update(level)
    return found


def remove_ipc(uid):
    """Removes the System V objects that an identity made: they outlive every process."""
    libc = ctypes.CDLL(None)
    removers = {"shm": lambda key: libc.shmctl(key, IPC_RMID, None), "msg": lambda key: libc.msgctl(key, IPC_RMID, None)}
    removers["sem"] = lambda key: libc.semctl(key, 0, IPC_RMID)
    for kind, remove in removers.items():
        with contextlib.suppress(OSError):
            names, *rows = (line.split() for line in Path("/proc/sysvipc", kind).read_text().splitlines())
            maker = names.index("cuid")
            for row in rows:
                if int(row[maker]) == uid:
                    remove(int(row[1]))


def remove_files(spec):
    """Removes the job's directory and, under `uid`, all that its identity left in shared places."""
    paths = [spec["directory"]]
    if spec["uid"]:
        take_identity(spec["uid"])
        remove_ipc(spec["uid"])
        with contextlib.suppress(OSError):  # a place is its identity's own, which may have closed it
            os.chmod(os.path.dirname(spec["directory"]), 0o700)
        for shared in {os.path.dirname(spec["directory"]), "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}:
            with contextlib.suppress(OSError):
                for entry in os.scandir(shared):
                    with contextlib.suppress(OSError):
                        if entry.stat(follow_symlinks=False).st_uid == spec["uid"]:
                            paths.append(entry.path)
    remarks = []
    for path in paths:
        try:
            remove_tree(path)
        except OSError as error:
            remarks.append(f"left behind: {error}")
    return "; ".join(remarks)
