"""A network that misbehaves: an HTTP proxy on loopback that hangs, resets, cuts off, flips a byte or says that it is busy."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

FAULTS = ("reset before", "reset after", "hang", "stall", "cut off", "flip", "busy")
"""Before: the server never gets the request. After: it has done what was asked, and the answer is lost. Stall: half of it comes,
and then nothing."""
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 38\r\n\r\n<Error><Code>SlowDown</Code></Error>   "
Decide = Callable[[str], str | None]
"""The first line of a request -> one of FAULTS or None; it may also wait."""


class BadNetwork:
    """What `decide` says happens to each request; `seen` are the first lines of all of them."""

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self.decide: Decide = lambda _line: None
        self.seen: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop; what hangs is let go."""
        self.closed.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            while (request := _message(client)) is not None:
                line = request.partition(b"\r\n")[0].decode()
                self.seen.append(line)
                if not self._answer(client, request, self.decide(line)):
                    return

    def _answer(self, client: socket.socket, request: bytes, fault: str | None) -> bool:
        """Answer one request and return whether the connection still stands."""
        if fault == "hang":
            self.closed.wait()
            return False
        if fault == "reset before":
            return _reset(client)
        if fault == "busy":
            client.sendall(BUSY)
            return True
        with socket.create_connection(self._server) as server:
            server.sendall(request)
            answer = _message(server, not request.startswith(b"HEAD ")) or b""
        if fault == "reset after":
            return _reset(client)
        head, _, body = answer.partition(b"\r\n\r\n")
        if fault in ("cut off", "stall"):
            client.sendall(answer[: len(head) + 4 + len(body) // 2])
            if fault == "stall" and body:
                self.closed.wait()
            return False
        if fault == "flip" and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        client.sendall(head + b"\r\n\r\n" + body)
        return True


@contextmanager
def bad_network(server: str) -> Iterator[BadNetwork]:
    """A network before a server, until the end of the block."""
    network = BadNetwork(server)
    yield network
    network.close()


def nth(fault: str, numbers: range | set[int], of: str = "") -> Decide:
    """The fault at these of the requests whose first line has `of` in it, counted from 0."""
    lock, count = threading.Lock(), iter(range(10**9))

    def decide(line: str) -> str | None:
        if not re.search(of, line):
            return None
        with lock:
            return fault if next(count) in numbers else None

    return decide


def delayed(seconds: Callable[[], float], of: str = "") -> Decide:
    """No fault, but a delay before each request whose first line has `of` in it."""

    def decide(line: str) -> str | None:
        if re.search(of, line):
            time.sleep(seconds())
        return None

    return decide


def _reset(client: socket.socket) -> bool:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def _message(stream: socket.socket, body: bool = True) -> bytes | None:
    """One HTTP message; None if the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := stream.recv(1 << 16)):
            return None
        data += more
    head = data.partition(b"\r\n\r\n")[0]
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    length = len(head) + 4 + (int(found[1]) if found and body else 0)
    while len(data) < length:
        if not (more := stream.recv(1 << 16)):
            return None
        data += more
    return data
