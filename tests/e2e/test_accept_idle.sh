#!/usr/bin/env bash
# 1,000 open waits and an open console over 100,000 idle children (PH_FULL=1: 1,000,000) cost no
# measurable CPU, and each wait is met when its condition becomes true.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

n=$(scaled 100000)
[ -z "${PH_FULL:-}" ] || n=$(scaled 1000000)
waits=$(scaled 1000)
ulimit -n "$(ulimit -H -n)"

node n1
exits 0 at n1 -e "start w-[1..$n] module=counter timeout=120s"

cat >"$dir/idle.py" <<'END'
import json, os, pty, select, struct, subprocess, sys, time, fcntl, termios
import control

path, pid, children, waits, program, console_too, limit = sys.argv[1:8]
pid, children, waits, limit = int(pid), int(children), int(waits), int(limit)
cheap = [
    f"wait count = {children + 1} timeout=10m",
    f"wait running > {children} timeout=10m",
    "wait child extra state = running timeout=10m",
]
# These look at every child when something has changed.
scans = [
    f"wait count(where state = running) = {children + 1} timeout=10m",
    "wait count(e*) = 1 timeout=10m",
]
open_waits = []
for i in range(waits):
    one = control.Connection(path)
    kinds = cheap if i % 100 else scans
    one.send(control.run_frame(kinds[i // 100 % 2 if i % 100 == 0 else i % 3]))
    open_waits.append(one)

screen = b""
console = None
if console_too == "yes":
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    console = subprocess.Popen([program, "attach", "ipc://" + path], stdin=slave, stdout=slave,
                               stderr=slave, env=dict(os.environ, TERM="xterm"), start_new_session=True)
    os.close(slave)

def drain(seconds):
    global screen
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([master] if console else [], [], [], left)
        if ready:
            screen += os.read(master, 65536)
    return len(screen)

if console:
    assert control.eventually(lambda: drain(0.2) > 500, 30), screen
# What is being opened is through when the node has been quiet for a moment.
def still():
    before = control.ticks(pid)
    drain(0.5)
    return control.ticks(pid) == before
assert control.eventually(still, 30), "the node never becomes idle"
assert control.quiet(open_waits, 0), "a wait was over too early"

before = control.ticks(pid)
console_before = control.ticks(console.pid) if console else 0
size = len(screen)
drain(3)
used = control.ticks(pid) - before
print(f"figure: {waits} waits{' and a console' if console else ''} over {children} children: "
      f"{used} ticks of the node in 3 s")
if console:
    used_by_console = control.ticks(console.pid) - console_before
    print(f"figure: the console used {used_by_console} ticks and wrote {len(screen) - size} bytes in 3 s")
    assert used_by_console <= 5, used_by_console
assert used < limit, f"{used} ticks"
assert control.quiet(open_waits, 0), "a wait was over too early"

start = time.monotonic()
other = control.Connection(path)
output, errors, code = other.run("start extra module=echo")
assert code == 0, errors
for one in open_waits:
    output, errors, code = one.answer()
    assert code == 0 and json.loads(output)["met"] is True, (output, errors, code)
print(f"figure: all {waits} waits were met {round((time.monotonic() - start) * 1000)} ms after")

# Closing a thousand connections in the middle of a wait costs nothing afterwards, either.
for one in open_waits:
    one.send(control.run_frame("wait count = 0 timeout=10m"))
for one in open_waits:
    one.close()
assert other.run("stop extra")[2] == 0
assert control.eventually(
    lambda: len(os.listdir(f"/proc/{pid}/task")) < 40, 60), "threads of closed connections stay"
if console:
    os.write(master, b"q")
    drain(0.5)
    try:
        os.write(master, b"y")
    except OSError:
        pass
    console.terminate()
    assert control.eventually(lambda: console.poll() is not None, 20), "the console does not end"
END
export PYTHONPATH=$PH_SOURCE_DIR/tests/lib PYTHONDONTWRITEBYTECODE=1
limit=2
is_plain || limit=10
idle()
{
    "$python" "$dir/idle.py" "$dir/n1.d/c.sock" "${node_pid[n1]}" "$n" "$waits" "$prochub" "$1" $limit
}

rule "$waits open waits over $n idle children cost no measurable CPU and are met when it is so"
idle no
rule "with an open console as well"
idle yes
node_end n1
