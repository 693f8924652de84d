#!/usr/bin/env python3
"""A counter in Python: takes messages, and moves with its count.

    prochub -e 'start c socket=yes -- python3 docs/examples/counter_child.py' -e 'call c inc 5'

The protocol is in docs/processes.md. The class Child is what another program can take over.
"""
import os
import re


class Child:
    """Override what the child can do; raise an exception to refuse."""

    def cast(self, text):
        raise NotImplementedError

    def call(self, text):
        raise NotImplementedError

    def save(self):
        raise NotImplementedError

    def load(self, state):
        raise NotImplementedError

    def merge(self, state):
        raise NotImplementedError

    def role(self, active, epoch):
        pass

    def run(self):
        with os.fdopen(int(os.environ["PROCHUB_SOCKET"]), "r+b", buffering=0) as raw:
            state = b""
            for line in raw_lines(raw):
                verb, _, text = line.partition(b" ")
                text = unescape(text)
                if verb == b"state":
                    state += text
                    continue
                try:
                    reply = self.answer(verb.decode(), text, state)
                except Exception as error:
                    reply = b"error " + escape(str(error).encode()) + b"\n"
                if verb in (b"load", b"merge"):
                    state = b""
                write_all(raw, reply)

    def answer(self, verb, text, state):
        if verb == "role":
            words = text.decode().split()
            self.role(words[0] == "active", int(words[1]) if len(words) > 1 else 0)
        elif verb == "save":
            saved = self.save()
            pieces = [saved[at : at + 32768] for at in range(0, len(saved), 32768)]
            return b"".join(b"state " + escape(piece) + b"\n" for piece in pieces) + b"ok\n"
        elif verb in ("load", "merge"):
            getattr(self, verb)(state)
        elif verb == "cast":
            self.cast(text)
        elif verb == "call":
            return b"ok " + escape(self.call(text)) + b"\n"
        else:
            raise ValueError("it does not know " + verb)
        return b"ok\n"


def raw_lines(raw):
    rest = b""
    while chunk := raw.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def write_all(raw, data):
    while data:
        data = data[raw.write(data) :]


def unescape(text):
    return re.sub(
        rb"\\(\\|0[0-7]{3})",
        lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)]),
        text,
    )


def escape(data):
    last = len(data) - 1
    return b"".join(
        b"\\\\" if byte == 92
        else b"\\0%03o" % byte if not 32 <= byte < 127 or (byte == 32 and at in (0, last))
        else bytes([byte])
        for at, byte in enumerate(data)
    )


class Counter(Child):
    count = 0

    def cast(self, text):
        words = text.decode().split()
        if words[:1] != ["inc"]:
            raise ValueError("use: inc [N]")
        self.count += int(words[1]) if len(words) > 1 else 1

    def call(self, text):
        if text != b"get":
            self.cast(text)
        return str(self.count).encode()

    def save(self):
        return str(self.count).encode()

    def load(self, state):
        if not re.fullmatch(rb"-?\d+", state):
            raise ValueError("that is no count")
        self.count = int(state)

    def merge(self, state):
        mine = self.count
        self.load(state)
        self.count += mine


if __name__ == "__main__":
    Counter().run()
