"""The connections to one listener on loopback, which travel to the host as frames. Standard library only.

No byte of them is parsed here: the host serves them. Each direction has a window, so that neither side keeps more of a
connection than that. PROTOCOL.md describes the frames.
"""

import contextlib
import select
import socket
import struct

NET_OPEN, NET_DATA, NET_ACK, NET_END = NET = (0xA0, 0xA1, 0xA2, 0xA3)
MAX_STREAMS = 64
WINDOW = 256 * 1024  # bytes in flight, in each direction
PART = 64 * 1024
ACK_AFTER = WINDOW // 2
ONE_WAY, BOTH_WAYS = 0, 1  # in NET_END: nothing more is sent; and nothing more is taken, either


class Stream:
    """One connection."""

    def __init__(self, connection):
        self.connection = connection
        self.credit = WINDOW  # what may still be sent to the host
        self.queue, self.held, self.taken = bytearray(), 0, 0
        self.ended = self.over = False  # the process, and the host, send nothing more


class Streams:
    """All of one listener. `send` queues a frame's kind and payload for the host, and `admitted` gives those of the peers'
    ports that may connect to the listener's port."""

    total, most = 0, 4096  # open in this process, as each needs a descriptor

    def __init__(self, send, admitted=lambda peers, port: peers):
        self.send, self.admitted = send, admitted
        self.last, self.open = 0, {}
        self.listener = socket.socket()
        try:
            self.listener.bind(("127.0.0.1", 0))
            self.listener.listen(socket.SOMAXCONN)  # beyond MAX_STREAMS they wait
            self.listener.setblocking(False)
            self.port = self.listener.getsockname()[1]
        except OSError:
            self.listener.close()
            raise

    def watched(self, listens=True):
        """What is to be polled: descriptor, events, and what `ready` is told. Nothing is read where it does not listen."""
        if listens and len(self.open) < MAX_STREAMS and Streams.total < Streams.most:
            yield self.listener.fileno(), select.POLLIN, 0
        for number, stream in self.open.items():
            events = select.POLLIN if listens and stream.credit and not stream.ended else 0
            events |= select.POLLOUT if stream.queue else 0
            if events:
                yield stream.connection.fileno(), events, number

    def ready(self, number):
        if number == 0:
            return self.accept()
        return self.move(number, self.open.get(number))

    def accept(self):
        """Takes all that wait and may be open: whose they are is asked once for all."""
        peers = {}
        with contextlib.suppress(OSError):  # the backlog is empty, or no descriptor is free
            for _ in range(min(MAX_STREAMS - len(self.open), Streams.most - Streams.total)):
                connection, (address, port) = self.listener.accept()
                # A peer is known by its port, so that its address must be known, too: all of 127.0.0.0/8 is loopback.
                if address == "127.0.0.1":
                    peers[port] = connection
                else:
                    connection.close()
        admitted = self.admitted(set(peers), self.port) if peers else ()
        for port, connection in peers.items():
            if port not in admitted:
                connection.close()
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.last += 1
            self.open[self.last] = Stream(connection)
            Streams.total += 1
            self.send(NET_OPEN, struct.pack(">I", self.last))

    def move(self, number, stream):
        """Reads and writes what it can without waiting."""
        if stream is None:
            return
        try:
            self.write(number, stream)
            if number in self.open:
                self.read(number, stream)
        except OSError:
            self.drop(number)
            self.send(NET_END, struct.pack(">IB", number, BOTH_WAYS))

    def read(self, number, stream):
        if stream.ended or not stream.credit:
            return
        try:
            data = stream.connection.recv(min(PART, stream.credit))
        except BlockingIOError:
            return
        if data:
            stream.credit -= len(data)
            self.send(NET_DATA, struct.pack(">I", number) + data)
        else:
            stream.ended = True
            self.send(NET_END, struct.pack(">IB", number, ONE_WAY))

    def write(self, number, stream):
        with contextlib.suppress(BlockingIOError):
            while stream.queue:
                count = stream.connection.send(stream.queue[:PART])
                stream.taken += count
                del stream.queue[:count]
        if stream.taken >= ACK_AFTER:
            self.send(NET_ACK, struct.pack(">II", number, stream.taken))
            stream.held -= stream.taken
            stream.taken = 0
        if stream.over and not stream.queue:
            self.drop(number)

    def receive(self, kind, payload):
        """Takes a frame of the host's; false where it is not one that may be sent."""
        if kind == NET_OPEN or len(payload) < 4:
            return False
        number = struct.unpack_from(">I", payload)[0]
        if not 0 < number <= self.last:
            return False
        stream = self.open.get(number)
        if stream is None or stream.over:  # crossed with its end
            return True
        if kind == NET_DATA:
            stream.queue += payload[4:]
            stream.held += len(payload) - 4
            if stream.held > WINDOW or len(payload) == 4:
                return False
        elif kind == NET_ACK:
            if len(payload) != 8:
                return False
            stream.credit += struct.unpack_from(">I", payload, 4)[0]
            if stream.credit > WINDOW:
                return False
        elif len(payload) != 5 or payload[4] != BOTH_WAYS:
            return False
        else:
            stream.over = True
        self.move(number, stream)
        return True

    def drop(self, number):
        connection = self.open.pop(number).connection
        Streams.total -= 1
        with contextlib.suppress(OSError):
            for _ in range(16):  # what is not read would make the end a reset, and a reset loses what was answered
                if not connection.recv(PART):
                    break
        connection.close()

    def close(self):
        for number in list(self.open):
            self.drop(number)
        self.listener.close()
