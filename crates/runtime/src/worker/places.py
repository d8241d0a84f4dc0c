"""What is given to one job at a time: a place for its files, and an identity."""

import collections
import os
import tempfile

from flowgate_wire import *


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
    """Directories for the jobs' directories: file systems of their own, so that one that is full is one job's.

    With a count, `root/0` to `root/<count - 1>` are there, and are used by one job at a time. Without one, `root` serves
    any number of jobs.
    """

    own_root = None  # made here, so removed here

    def __init__(self, root, count):
        self.root, self.count = root, count
        self.free = collections.deque(os.path.join(root, str(number)) for number in range(count))

    def are_free(self):
        return not self.count or bool(self.free)

    def take(self):
        return self.free.popleft() if self.count else self.root

    def give_back(self, place):
        if self.count:
            self.free.append(place)

    def remove_own(self):
        if self.own_root:
            try:
                remove_tree(self.own_root)
            except OSError:
                pass


class Identities:
    """User ids for jobs, each with one for its burial above it. Used ones come last, the oldest first."""

    def __init__(self, isolation):
        self.isolation = isolation
        self.next = int(os.environ.get("FLOWGATE_FIRST_UID", FIRST_UID))
        self.used = collections.deque()

    def take(self):
        """An identity that nothing has any more; 0 where jobs have none of their own, None where all are in use."""
        if self.isolation != "uid":
            return 0
        if self.next < LAST_UID:
            self.next += 2
            return self.next - 2
        return self.used.popleft() if self.used else None

    def give_back(self, uid):
        if uid:
            self.used.append(uid)
