"""What is given to one job at a time: a place for its files, and an identity."""

import collections
import os
import tempfile

from flowgate_wire import *

# 127.0.0.1 in the kernel's tables, which have it in the machine's byte order: of IPv4, and of IPv6.
LOOPBACK = f"{int.from_bytes(bytes([127, 0, 0, 1]), sys.byteorder):08X}"
LOOPBACK = (LOOPBACK, f"{0:016X}{int.from_bytes(bytes([0, 0, 255, 255]), sys.byteorder):08X}{LOOPBACK}")


def choose_root(isolation):
    """The directory for the jobs' directories."""
    root = os.environ.get("FLOWGATE_WORK")
    if not root and isolation == "uid" and os.path.isdir("/work") and os.access("/work", os.W_OK):
        root = "/work"
    if not root:
        root = tempfile.mkdtemp(prefix="flowgate-")
        os.chmod(root, 0o1777 if isolation == "uid" else 0o700)
        Places.own_root = root
    root = os.path.realpath(root)
    mode = os.stat(root).st_mode
    if isolation == "uid" and not os.environ.get("FLOWGATE_PLACES") and (mode & 0o1003) != 0o1003:
        raise Fatal(
            "WorkDirectory", f"{root} has mode {mode & 0o7777:o}: jobs need a sticky one that all can write, 1777"
        )
    return root


class Places:
    """Where jobs live: a directory, and an identity that nothing else has.

    With a count, `root/0` to `root/<count - 1>` are file systems of their own, so that one that is full is one job's. Each
    belongs to an identity, is closed to all others, and is used by one job at a time. Without a count, `root` serves any
    number of jobs, and an identity is used again only after all others.
    """

    own_root = None  # made here, so removed here

    def __init__(self, root, count, isolation):
        self.root, self.count, self.isolation = root, count, isolation
        self.first = int(os.environ.get("FLOWGATE_FIRST_UID", FIRST_UID))
        places = (Place(os.path.join(root, str(number)), self.uid(number)) for number in range(count))
        self.free = collections.deque(places)
        self.made = self.lost = 0

    def uid(self, number):
        """An identity has the one above it for its burial. Under `process` jobs have none of their own: 0."""
        return self.first + 2 * number if self.isolation == "uid" else 0

    def are_free(self):
        return bool(self.free) or not self.count

    def take(self):
        """None where every identity is in use."""
        if self.count:
            return self.free.popleft()
        if self.isolation != "uid":
            return Place(self.root, 0)
        if self.uid(self.made) < LAST_UID:
            self.made += 1
            return Place(self.root, self.uid(self.made - 1))
        return self.free.popleft() if self.free else None

    def give_back(self, place):
        if self.count or place.uid:
            self.free.append(place)

    def give_up(self):
        """One has something in it that cannot be removed."""
        self.lost += 1

    def are_lost(self):
        return bool(self.count) and self.lost == self.count

    def remove_own(self):
        if self.own_root:
            try:
                remove_tree(self.own_root)
            except OSError:
                pass


class Place:
    """A directory for a job's directory, and the job's identity."""

    def __init__(self, directory, uid):
        self.directory, self.uid = directory, uid


def connected_as(uid, peers, port):
    """Those of the ports `peers` on 127.0.0.1 from which a process of that identity has connected to `port` there. 0 is
    everybody's."""
    if not uid:
        return peers
    admitted, to = set(), tuple(f"{loopback}:{port:04X}" for loopback in LOOPBACK)
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as lines:
            for line in lines:
                fields = line.split(None, 8)
                if fields[2] in to and fields[7] == str(uid) and fields[1].startswith(LOOPBACK):
                    admitted.add(int(fields[1].rpartition(":")[2], 16))
    return admitted & peers
