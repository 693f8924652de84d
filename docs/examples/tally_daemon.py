#!/usr/bin/env python3
"""A daemon in the manner of systemd, that prochub runs as it is: a socket that it is handed, readiness,
and a state that survives its restarts and its moves.

    prochub -e 'start t listen=tcp://127.0.0.1:7070 fdstore=1 ready=notify \\
        -- python3 docs/examples/tally_daemon.py'

Each client sends a line and gets the number of lines so far. The number is kept in a memfd that is
stored with the node under the name `state`.
"""
import array
import os
import signal
import socket
import sys


def notify(text, *fds):
    address = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        to.sendmsg([text.encode()], rights, 0, address)


def handed_over():
    """What the node holds for us: a dict of names and descriptors."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ["LISTEN_FDNAMES"].split(":")
    return {name: 3 + at for at, name in enumerate(names)}


def main():
    fds = handed_over()
    if "listen" not in fds:
        sys.exit("start it with listen=ENDPOINT")
    listener = socket.socket(fileno=fds["listen"])
    state = fds.get("state")
    if state is None:
        state = os.memfd_create("state")
        notify("FDSTORE=1\nFDNAME=state", state)
    count = int(os.pread(state, 32, 0) or b"0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    notify("READY=1\nSTATUS=at %d" % count)
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rwb") as lines:
            for _ in lines:
                count += 1
                os.pwrite(state, b"%d" % count, 0)
                lines.write(b"%d\n" % count)
                lines.flush()


if __name__ == "__main__":
    main()
