"""A client: one flowgate on its two descriptors, with its own queues, its own pause and its own channels."""

import collections
import os
import select
import struct
import time

from flowgate_wire import *


class Gone(Exception):
    """The client has gone, or takes nothing more."""


class Client:
    """Frames from and to one flowgate. What it leaves unread delays only its own jobs."""

    def __init__(self, source, sink, relay=None):
        self.source, self.sink, self.relay = source, sink, relay
        self.incoming, self.outbox, self.queued = bytearray(), collections.deque(), 0
        self.jobs, self.last_channel = {}, 0
        self.has_more, self.until = False, 0  # frames that were read and are not taken until then
        for fd in (source, sink):
            os.set_blocking(fd, False)

    def send(self, kind, channel, body):
        body = body if isinstance(body, bytes) else json_bytes(body)
        # Small frames share a buffer: one of its own costs far more than its bytes.
        if not self.outbox or len(self.outbox[-1]) > CHUNK:
            self.outbox.append(bytearray())
        self.outbox[-1] += struct.pack(">IBI", len(body) + 5, kind, channel)
        self.outbox[-1] += body
        self.queued += len(body) + 9

    def write(self):
        try:
            while self.outbox:
                count = os.write(self.sink, self.outbox[0])
                self.queued -= count
                del self.outbox[0][:count]
                if not self.outbox[0]:
                    self.outbox.popleft()
        except BlockingIOError:
            pass
        except OSError:
            raise Gone from None

    def read(self, events):
        if not events & select.POLLIN:
            raise Gone
        try:
            data = os.read(self.source, 4 * CHUNK)
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.incoming += data

    def rest(self, seconds):
        """Throttles a client that sends many frames."""
        self.has_more, self.until = True, time.monotonic() + seconds

    def rests(self):
        return self.has_more and time.monotonic() < self.until

    def is_full(self):
        return self.queued > HIGH_WATER

    def is_paused(self):
        """Whether one of its jobs has enough to take before anything more is read for any of them."""
        return any(not job.loaded and job.waiting > HIGH_WATER for job in self.jobs.values())

    def has_frame(self):
        if len(self.incoming) < 9 or self.is_paused():
            return False
        size, kind = struct.unpack_from(">IB", self.incoming)
        if not 5 <= size <= MAX_FRAME or (kind == DATA and size - 5 > MAX_DATA):
            raise Fatal("ProtocolError", f"a frame of kind {kind:#04x} announces {size} bytes")
        return len(self.incoming) >= 4 + size

    def next_frame(self):
        size, kind, channel = struct.unpack_from(">IBI", self.incoming)
        payload = bytes(self.incoming[9 : 4 + size])
        del self.incoming[: 4 + size]
        return kind, channel, payload

    def close(self):
        for fd in {self.source, self.sink}:
            os.close(fd)
        if self.relay is not None:
            self.relay.close()
