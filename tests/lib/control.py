"""The control socket of a node as ipc/control.h describes it, for tests that need many connections at
once, or broken ones."""

import select
import socket
import struct
import time

JSON = 2


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def frame(kind, body=b""):
    return struct.pack("<I", len(body) + 1) + kind + body


def run_frame(command, form=JSON):
    """A run frame of bare words; what follows a -- is argv."""
    words = command.split()
    argv = words.index("--") if "--" in words else len(words)
    del words[argv : argv + 1]
    body = struct.pack("<B", form) + text("test") + struct.pack("<IBI", argv, 0, len(words))
    column = 1
    for word in words:
        body += text(word) + struct.pack("<IIIIB", 1, column, 0, 0, 0)
        column += len(word) + 1
    return frame(b"R", body)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.bytes = b""

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(data)

    def frame(self):
        """The next frame as (kind, body); None when the node closed the connection."""
        while True:
            if len(self.bytes) >= 4:
                length = struct.unpack("<I", self.bytes[:4])[0]
                if len(self.bytes) >= 4 + length:
                    found = self.bytes[4 : 4 + length]
                    self.bytes = self.bytes[4 + length :]
                    return found[:1], found[1:]
            try:
                got = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not got:
                return None
            self.bytes += got

    def answer(self):
        """Output, errors and exit code of the statement in work; the code is None at an end."""
        output, errors = b"", b""
        while (found := self.frame()) is not None:
            kind, body = found
            if kind == b"O":
                output += body
            elif kind == b"E":
                errors += body
            elif kind == b"X":
                return output, errors, struct.unpack("<i", body)[0]
        return output, errors, None

    def run(self, command):
        self.send(run_frame(command))
        return self.answer()

    def close(self):
        self.socket.close()


def ticks(pid):
    """User and system time of a process, in clock ticks."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def quiet(connections, seconds):
    """Nothing arrives on any of them for that long."""
    poll = select.poll()
    for one in connections:
        poll.register(one, select.POLLIN)
    return not poll.poll(seconds * 1000)


def eventually(condition, seconds):
    """Does it become true?"""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
