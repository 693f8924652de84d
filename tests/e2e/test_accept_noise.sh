#!/usr/bin/env bash
# Malformed input of every sort, on stdin and on the control socket: a clear error, and everybody else
# goes on.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
export PYTHONPATH=$PH_SOURCE_DIR/tests/lib PYTHONDONTWRITEBYTECODE=1

# ends_well CODE…: the last code was one of them, and the messages are short printable lines.
run_any()
{
    local code=0 want
    timeout 60 "$@" >"$dir/out" 2>"$dir/err" || code=$?
    cat "$dir/err" >>"$dir/all.log"
    for want in $allowed; do
        [ "$code" != "$want" ] || return 0
    done
    fail "exit code $code, allowed $allowed: $*"
}
short_message()
{
    [ "$(wc -c <"$dir/err")" -lt 2000 ] || fail "a message of $(wc -c <"$dir/err") bytes"
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$dir/err" || fail "control bytes in the message"
}

rule "binary noise on stdin is refused with a position, whatever its size"
allowed=2
for size in 1 2 7 64 1000 100000 $((3 * 1024 * 1024)); do
    for seed in 1 2 3; do
        "$python" -c "import random, sys
noise = random.Random($seed * 1000 + $size).randbytes($size)
sys.stdout.buffer.write(b'\xff' + noise[1:])" >"$dir/noise"
        run_any "$prochub" <"$dir/noise"
        same "" "$(cat "$dir/out")"
        says "-:1:"
        says "usage: "
        short_message
        run_any "$prochub" -n -o json <"$dir/noise"
        json 'len(v) == 1 and v[0]["t"] == "error" and v[0]["exit"] == 2' "$dir/err"
    done
done

rule "noise made of the language's own words never crashes it"
"$python" - "$dir" <<'END'
import random, sys
words = """start stop restart signal children child count send call lock unlock wait assert let echo try source
 watch hub create use events history logs hook add -- ; \\ # ' " $X $ all tag:a node:b where state = running and or
 not ( ) w-[1..3] w-[3..1] w-* [ ] .. module=counter restart= meta.a=b tags=,, timeout=5s "\\u{1}" '\\n' = != <= =~
 99999999999999999999 -1 0x10 é \u2192 follow since=-5m n=0 discard priority=300 name= exit 256""".split()
for seed in range(40):
    draw = random.Random(seed)
    with open(f"{sys.argv[1]}/words{seed}", "w") as out:
        for _ in range(draw.randint(1, 30)):
            out.write(" ".join(draw.choice(words) for _ in range(draw.randint(1, 12))) + "\n")
END
for file in "$dir"/words*; do
    allowed="0 2"
    run_any "$prochub" -n "$file"
    short_message
done

rule "each of those lines alone, run: an answer, never a crash or a hang"
cat "$dir"/words{0..9} | grep -vE 'wait|watch|follow|exit|source' | head -n "$(scaled 300)" >"$dir/lines"
allowed="0 1 2 3 4 5 7"
while IFS= read -r line; do
    printf 'start w-[1..3] module=counter\n%s\n' "$line" >"$dir/line"
    run_any "$prochub" "$dir/line" </dev/null
done <"$dir/lines"

rule "a NUL and bytes that are no UTF-8 are refused where they are"
printf 'echo one\necho t\0wo\n' >"$dir/nul"
exits 2 "$prochub" "$dir/nul"
says "nul:2:7: usage: "
same "" "$(cat "$dir/out")"
printf 'echo one\necho \xc3\x28\n' >"$dir/utf"
exits 2 "$prochub" "$dir/utf"
says "utf:2:6: usage: "

rule "a line of 10 MB is refused with its number; one of 900 kB is fine"
"$python" -c "print('echo one'); print('echo ' + 'x' * 10000000)" >"$dir/long"
exits 2 "$prochub" "$dir/long"
says ":2:"
short_message
same "" "$(cat "$dir/out")"
"$python" -c "print('echo ' + 'x' * 900000)" >"$dir/long"
exits 0 "$prochub" "$dir/long"
same 900001 "$(wc -c <"$dir/out")"

rule "10 MB without any end of line, and a million empty lines"
head -c 10000000 /dev/zero | tr '\0' 'a' >"$dir/long"
exits 2 "$prochub" "$dir/long"
short_message
head -c 1000000 /dev/zero | tr '\0' '\n' >"$dir/empty"
exits 0 "$prochub" "$dir/empty"
exits 0 "$prochub" </dev/null

rule "a message that is too large is refused, one that is large enough arrives"
"$python" -c "print('start e module=echo'); print('call e ' + 'y' * 1000000)" >"$dir/big"
exits 0 "$prochub" "$dir/big"
[ "$(wc -c <"$dir/out")" -gt 1000000 ] || fail "the reply is cut"

rule "a standard output that takes nothing is an error, one that goes away an end"
exits 1 sh -c "\"$prochub\" -e status >/dev/full"
says "No space left on device"
exits 0 sh -c "{ \"$prochub\" -e 'start w-[1..20000] module=echo' -e children 2>$dir/err; } | head -n 1"
short_message
allowed="0 1 2"
run_any sh -c "\"$prochub\" -e status >&-"
run_any sh -c "\"$prochub\" -e status <&-"
run_any sh -c "\"$prochub\" -e 'strat' 2>&-"

rule "a node does not start with a broken configuration, and leaves nothing"
printf 'start a module=echo\nstart b modul=echo\n' >"$dir/config"
exits 2 timeout 20 "$prochub" node --name bad --control "ipc://$dir/bad/c.sock" -c "$dir/config"
says "config:2:9: usage: modul"
says module
[ ! -e "$dir/bad/c.sock" ] || fail "a socket is there"

node n1
cat >"$dir/garbage.py" <<'END'
import os, random, socket, struct, sys, time
import control
path, pid, scale = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def lives():
    one = control.Connection(path)
    output, errors, code = one.run("count")
    one.close()
    assert code == 0, (output, errors, code)

def rss():
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])

draw = random.Random(7)
frame, text = control.frame, control.text
good = control.run_frame("count")
body = good[5:]
attempts = [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, struct.pack("<I", 0), struct.pack("<I", 0) * 50,
            struct.pack("<I", 0xffffffff) + b"R", struct.pack("<I", 1024 * 1024 + 1) + b"R" * 100,
            frame(b"R"), frame(b"X", b"\0\0\0\0"), frame(b"O", b"hello"), frame(b"\0"), frame(b"C"), frame(b"C") * 100,
            frame(b"C", b"x" * 1000), good[:-1], good[:7], frame(b"R", body + b"x"), frame(b"R", body[:-1]),
            frame(b"R", struct.pack("<B", 200) + body[1:]),
            frame(b"R", b"\2" + struct.pack("<I", 0xffffffff)),
            frame(b"R", b"\2" + text("t") + struct.pack("<IBI", 0, 0, 0)),
            frame(b"R", b"\2" + text("t") + struct.pack("<IBI", 0, 0, 0xffffffff)),
            frame(b"R", b"\2" + text("t") + struct.pack("<IBI", 9, 9, 1) + text("count") + bytes(17)),
            frame(b"R", b"\2" + text(b"\xff\xfe") + struct.pack("<IBI", 1, 0, 1) + text(b"\xff\xfe") + bytes(17)),
            frame(b"R", b"\2" + text("t") + struct.pack("<IBI", 1, 0, 1) + text("count") +
                  struct.pack("<IIIIB", 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 255))]
for i in range(300):
    noise = bytearray(good)
    for _ in range(draw.randint(1, 6)):
        noise[draw.randrange(len(noise))] = draw.randrange(256)
    attempts.append(bytes(noise))
for size in (1, 10, 1000, 100000, 3000000):
    attempts.append(draw.randbytes(size))
base = rss()
for i, attempt in enumerate(attempts):
    one = control.Connection(path)
    one.socket.settimeout(5)
    try:
        one.send(attempt)
        one.socket.shutdown(socket.SHUT_WR)
        while one.frame() is not None:
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    except TimeoutError:
        raise SystemExit(f"attempt {i} hangs: {attempt[:60]!r}")
    one.close()
    if i % 25 == 0:
        lives()
lives()

# A broken frame is answered with why before the end.
one = control.Connection(path)
one.send(frame(b"R", b"\2junk"))
output, errors, code = one.answer()
assert errors or output, "no word of why"

# Who says nothing, or half a frame, holds up nobody.
silent = [control.Connection(path) for _ in range(50)]
for i, one in enumerate(silent):
    one.send(good[: i % len(good)])
lives()

# Who asks and never reads holds up nobody, and does not fill the node.
greedy = []
setup = control.Connection(path)
assert setup.run(f"start many-[1..{20000 // scale}] module=counter")[2] == 0
for _ in range(20):
    one = control.Connection(path)
    one.send(control.run_frame("registry") * 20)
    greedy.append(one)
for _ in range(20):
    lives()
assert setup.run("stop all")[2] == 0
assert control.eventually(lambda: True, 1)
print(f"figure: memory after garbage and greedy clients: {base} -> {rss()} KiB")
assert scale > 1 or rss() < base + 150000, (base, rss())
for one in greedy + silent:
    one.close()

# More connections than there may be: those beyond are told why, the others go on.
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
time_limit = time.monotonic() + 60
many, refused = [], None
while refused is None and len(many) < 3000 and time.monotonic() < time_limit:
    one = control.Connection(path)
    many.append(one)
    if len(many) >= 2000:
        one.socket.settimeout(0.05)
        try:
            refused = one.answer()
        except TimeoutError:
            pass
if scale == 1:
    assert refused and b"refused" in refused[1] + refused[0] or refused and refused[2] == 4, (len(many), refused)
    print(f"figure: connection {len(many)} is refused: {refused}")
output, errors, code = setup.run("count")
assert code == 0
for one in many:
    one.close()
assert control.eventually(lambda: (lives(), True)[1], 10)
END

rule "garbage on the control socket harms nobody else"
"$python" "$dir/garbage.py" "$dir/n1.d/c.sock" "${node_pid[n1]}" "$PH_SCALE"
exits 0 at n1 -e 'start after module=echo' -e 'call after hi' -e 'stop after'
node_end n1
