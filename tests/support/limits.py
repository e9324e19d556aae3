"""A limit on what one case of a long test may take."""

import resource
import signal
from contextlib import contextmanager

SECONDS = 60
ROOM = 3 * 2**30
"""Bytes of address space that a case may take beyond what the process has: threads reserve much and use little."""


@contextmanager
def bounded():
    """A limit on time and on the address space."""

    def stop(*_):
        raise AssertionError(f"took more than {SECONDS} s")

    with open("/proc/self/statm") as stream:
        taken = int(stream.read().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, before[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
