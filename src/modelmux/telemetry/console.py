"""The console: writing bytes to a standard stream of this process, and a stand-in for ``sys.stderr`` that never waits.

Whatever writes to ``sys.stderr`` or ``sys.stdout`` while a gateway serves (warnings, tracebacks, loggers of libraries)
would wait for a reader of the console as a log line would. So their place is taken by a stream whose lines go through
the same buffer, in the order they were written.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from modelmux.telemetry.background import BackgroundWriter

if sys.platform != "win32":
    import fcntl

#: Most characters of a line that is not complete yet; then its beginning is passed on.
_MAX_PARTIAL: Final = 8192

#: Of a terminal that does not say how wide it is.
_USUAL_COLUMNS: Final = 80

#: Whether there may be other processes with this one's standard streams that also write in the background.
_shared = False


def descriptor_of(stream: TextIO) -> int | None:
    """The descriptor of a stream, if it is to be written to directly. Windows' console takes text, not bytes."""
    if sys.platform == "win32":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def columns_of(stream: TextIO) -> int:
    """The characters in a line of the terminal that a stream writes to, now: windows change their size."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError, AttributeError):
        return _USUAL_COLUMNS


def bytes_writer(stream: TextIO) -> Callable[[bytes], bool]:
    """A function that writes bytes to a stream, waits as long as it takes, and returns whether it could."""
    fd = descriptor_of(stream)
    is_pipe = fd is not None and _is_pipe(fd)

    def write(data: bytes) -> bool:
        if fd is None:
            return _write_text(stream, data)
        # A short write is taken in one piece, but may come between two parts of another process's long one.
        with _alone(fd) if is_pipe and _shared else contextlib.nullcontext():
            return _write_descriptor(fd, data)

    return write


def _write_text(stream: TextIO, data: bytes) -> bool:
    try:
        stream.write(data.decode("utf-8", "replace"))
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _write_descriptor(fd: int, data: bytes) -> bool:
    left = memoryview(data)
    try:
        while left:
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:  # another process that has the same file open made it non-blocking
                select.select([], [fd], [])
    except (OSError, ValueError):  # a full disk, a pipe without a reader, closed
        return False
    return True


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def _alone(fd: int) -> Iterator[None]:
    """Keep other workers from writing to the same pipe during the block: a full pipe takes more than a few kB in parts,
    and their lines would be mixed. Files and terminals need no lock."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # a platform that locks no pipes
            fcntl.lockf(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.lockf(fd, fcntl.LOCK_UN)


def _on_fork() -> None:
    global _shared  # noqa: PLW0603 - a fact about the process
    _shared = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_on_fork)


class BackgroundStream(io.TextIOBase):
    """A standard stream whose lines go to a writer.

    :param stream: the stream that it stands for; asked for its properties only.
    """

    def __init__(self, stream: TextIO, writer: BackgroundWriter) -> None:
        self._stream = stream
        self._writer = writer
        self._partial = ""

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        complete, line_break, rest = (self._partial + text).rpartition("\n")
        self._partial = rest
        if line_break:
            self._put(f"{complete}\n")
        if len(rest) > _MAX_PARTIAL:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Pass on what was written. Does not wait until it has arrived."""
        partial, self._partial = self._partial, ""
        if partial:
            self._put(partial)

    def _put(self, text: str) -> None:
        self._writer.put(text.encode(self.encoding, self.errors))


def redirect_standard_streams(console: BackgroundWriter | None) -> None:
    """Have everything that this process writes to stderr and stdout, until its end, go through buffers.

    :param console: the writer of stderr. Without it, or if stderr is not a file of this process, nothing changes.
    """
    if console is None or descriptor_of(sys.stderr) is None:
        return
    stdout = sys.stdout
    sys.stderr = BackgroundStream(sys.stderr, console)
    if descriptor_of(stdout) is not None:
        # Nothing of the gateway writes to it, so it takes no part in the order and count of log lines.
        writer = BackgroundWriter(bytes_writer(stdout), lambda _count, _at: b"")
        sys.stdout = BackgroundStream(stdout, writer)
        atexit.register(writer.flush)
