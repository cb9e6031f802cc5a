"""Whole messages over a socket pair, with descriptors where a message brings some.

The parent's end never blocks on sending: what the socket doesn't take waits in a buffer that is sent on while the
parent waits for an answer. So two full sockets can't hold each other up. A process that is forked later closes its
copies of the parent's ends, or the end of one worker would go unnoticed while another one lives.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
import weakref
from collections import deque

_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 18
_ROOM = socket.CMSG_SPACE(16 * 4) if hasattr(socket, "CMSG_SPACE") else 0
_parents_ends: weakref.WeakSet[Channel] = weakref.WeakSet()


class Channel:
    """One end of a socket pair.

    blocking: whether `send` waits until everything is in the socket (the worker's end) or returns at once.
    """

    def __init__(self, end: socket.socket, blocking: bool) -> None:
        self.end = end
        self.blocking = blocking
        self.descriptors: deque[int] = deque()  # received, not yet taken
        self._incoming = bytearray()
        self._outgoing = bytearray()
        end.setblocking(False)
        self._poll = select.poll()
        if not blocking:
            _parents_ends.add(self)

    def send(self, payload: bytes, descriptor: int | None = None) -> None:
        """Send a message, and a descriptor with it. Raises BrokenPipeError or ConnectionResetError without a peer."""
        frame = _LENGTH.pack(len(payload)) + payload
        if descriptor is not None:
            self._finish_sending()
            frame = frame[self._send_with(frame, descriptor) :]
        self._outgoing += frame
        self._send_on()
        if self.blocking:
            self._finish_sending()

    def receive(self, deadline: float | None = None) -> bytes:
        """The next message. Raises EOFError when the peer is gone, TimeoutError after the deadline (monotonic)."""
        while True:
            payload = self._take()
            if payload is not None:
                return payload
            self._wait(select.POLLIN | (select.POLLOUT if self._outgoing else 0), deadline)
            try:
                self._send_on()
            except (BrokenPipeError, ConnectionResetError):  # the peer is gone; what it sent before is still read
                self._outgoing.clear()
            self._read()

    def pending(self) -> bool:
        """Whether a whole message lies here already."""
        return len(self._incoming) >= 8 and len(self._incoming) >= 8 + _LENGTH.unpack_from(self._incoming)[0]

    def fileno(self) -> int:
        return self.end.fileno()

    def close(self) -> None:
        """Give the end up; the peer reads an EOFError after what is in the socket."""
        self.end.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())

    def _take(self) -> bytes | None:
        if len(self._incoming) < 8:
            return None
        stop = 8 + _LENGTH.unpack_from(self._incoming)[0]
        if len(self._incoming) < stop:
            return None
        payload = bytes(self._incoming[8:stop])
        del self._incoming[:stop]
        return payload

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self.end.recvmsg(_PIECE, _ROOM)
        except BlockingIOError:
            return
        except ConnectionResetError:
            raise EOFError from None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.descriptors.extend(struct.unpack(f"{len(content) // 4}i", content[: len(content) // 4 * 4]))
        if not data:
            raise EOFError
        self._incoming += data

    def _send_on(self) -> None:
        while self._outgoing:
            try:
                sent = self.end.send(self._outgoing)
            except BlockingIOError:
                return
            del self._outgoing[:sent]

    def _send_with(self, frame: bytes, descriptor: int) -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))]
        while True:
            try:
                return self.end.sendmsg([frame], rights)
            except BlockingIOError:
                self._wait(select.POLLOUT, None)

    def _finish_sending(self) -> None:
        while self._outgoing:
            self._wait(select.POLLOUT, None)
            self._send_on()

    def _wait(self, events: int, deadline: float | None) -> None:
        self._poll.register(self.end, events)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._poll.poll(None if left is None else left * 1000):
            raise TimeoutError


def _close_copies() -> None:
    """In a forked child: the parent's ends are none of its business."""
    for channel in list(_parents_ends):
        channel.end.close()
    _parents_ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)
