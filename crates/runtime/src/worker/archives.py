"""The flows' archives, by the hash of their bytes: each is sent once, for all jobs and all clients."""

import contextlib
import hashlib
import os

from flowgate_wire import *


class Archives:
    """Files in a directory that only the broker can enter. A job gets a descriptor to read one from."""

    def __init__(self, directory):
        self.directory = directory
        self.sizes = {}  # by hash, the one that was used last at the end
        os.mkdir(directory, 0o700)

    def open(self, digest):
        """A descriptor for reading, or None where it must be sent."""
        if digest not in self.sizes:
            return None
        self.sizes[digest] = self.sizes.pop(digest)
        return os.open(os.path.join(self.directory, digest), os.O_RDONLY)

    def make_room(self, size):
        while len(self.sizes) >= MAX_KEPT or (self.sizes and sum(self.sizes.values()) + size > MAX_ARCHIVES):
            self.forget_oldest()

    def forget_oldest(self):
        digest = next(iter(self.sizes))
        del self.sizes[digest]
        os.unlink(os.path.join(self.directory, digest))  # who reads it goes on reading

    def keep(self, upload):
        os.chmod(upload.path, 0o400)
        os.rename(upload.path, os.path.join(self.directory, upload.digest))
        self.sizes.pop(upload.digest, None)
        self.sizes[upload.digest] = upload.size


class Upload:
    """One archive on its way."""

    def __init__(self, archives, digest, size):
        self.archives, self.digest, self.size, self.left = archives, digest, size, size
        self.path = os.path.join(archives.directory, os.urandom(12).hex())
        archives.make_room(size)
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.hash = hashlib.sha256()

    def write(self, data):
        """Raises OSError where the disk is full and nothing older can go."""
        self.left -= len(data)
        self.hash.update(data)
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except OSError:
                if not self.archives.sizes:
                    raise
                self.archives.forget_oldest()

    def finish(self):
        """Keeps it; False where it is not what its hash says."""
        if self.hash.hexdigest() != self.digest:
            return False
        os.close(self.fd)
        self.fd = None
        self.archives.keep(self)
        return True

    def drop(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
            with contextlib.suppress(OSError):
                os.unlink(self.path)
