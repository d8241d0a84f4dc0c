"""What the kernel says of the memory that all processes of the worker may use together."""

import contextlib
import os

GROUPS = "/sys/fs/cgroup"


class Memory:
    """The control group of the worker, of either version; where there is none, nothing is known."""

    def __init__(self):
        self.events = self.limits = None
        with contextlib.suppress(OSError, ValueError), open("/proc/self/cgroup", encoding="utf-8") as groups:
            for line in groups:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                # A container sees its own group as the root, and its path as the host has it.
                if "memory" in controllers.split(","):
                    self.find([f"{GROUPS}/memory{path}", f"{GROUPS}/memory"], "memory.oom_control", "memory.limit_in_bytes")
                elif not controllers and self.events is None:
                    self.find([GROUPS + path, GROUPS], "memory.events", "memory.max")

    def find(self, folders, events, limits):
        for folder in folders:
            if os.path.exists(os.path.join(folder, events)):
                self.events, self.limits = os.path.join(folder, events), os.path.join(folder, limits)
                return

    def is_known(self):
        return self.events is not None

    def kills(self):
        """How many processes the kernel has killed as memory ran out."""
        with contextlib.suppress(OSError, TypeError, ValueError, IndexError), open(self.events, encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        return 0

    def limit(self):
        """In bytes; None where the machine's memory is the limit."""
        with contextlib.suppress(OSError, TypeError, ValueError), open(self.limits, encoding="ascii") as file:
            limit = int(file.read())
            machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            return limit if limit < machine else None
        return None
