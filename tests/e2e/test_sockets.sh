#!/usr/bin/env bash
# Programs that take messages, sockets and states: the samples of docs/examples, on one node and moved
# between two.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

EXAMPLES=$PH_SOURCE_DIR/docs/examples

# on NODE COMMAND...: runs the commands on that node.
on()
{
    local name=$1 words=()
    shift
    for command in "$@"; do
        words+=(-e "$command")
    done
    "$PROCHUB" attach --name "$name" "${words[@]}"
}

node n1 --listen 'tcp://127.0.0.1:*'
SEED=$(sed -n 's/.* is ready, listen \([^,]*\), control .*/\1/p' "$DIR/n1.log")

# Casts, calls and errors; a crash loses the count and nothing else.
for SAMPLE in "sh $EXAMPLES/counter_child.sh" "python3 $EXAMPLES/counter_child.py" \
    "$PH_BUILD_DIR/tests/counter_child"; do
    expect_code 0 on n1 "start c socket=yes backoff=10ms -- $SAMPLE"
    expect_code 0 on n1 'send c inc 5' 'send c inc'
    expect 6 on n1 'call c get'
    expect 10 on n1 'call c inc 4'
    expect_code 1 on n1 'call c nonsense'
    has 'use: inc \[N\]' "$DIR/err"
    expect_code 0 on n1 'send c nonsense'
    eventually sh -c "\"$PROCHUB\" attach --name n1 -e 'history c' | grep -q message_refused"
    expect_code 0 on n1 'signal c KILL' 'wait child c restarts = 1'
    expect 1 on n1 'call c inc'
    expect_code 0 on n1 'stop c'
done
expect_code 0 on n1 'start plain -- /bin/sleep 1000'
expect_code 4 on n1 'send plain hello'
has 'without socket=yes' "$DIR/err"
expect_code 0 on n1 'stop plain'

# Nonsense is a failure with its reason, and concerns nobody else.
expect_code 0 on n1 "start good socket=yes -- sh $EXAMPLES/counter_child.sh"
expect_code 1 on n1 'start bad socket=yes max_restarts=0 -- /bin/sh -c "echo hello >&3; exec sleep 1000"'
has 'PROCHUB_SOCKET: a line begins with none of ok, error, state' "$DIR/err"
on n1 'history bad' >"$DIR/history"
has 'socket_failed' "$DIR/history"
expect 0 on n1 'call good get'
expect_code 0 on n1 'stop good bad'

# A daemon of systemd's kind: no client is refused over its restarts and crashes, and its count goes on.
cat >"$DIR/client.py" <<'END'
import socket, sys
where, last, refused, stop = ("127.0.0.1", int(sys.argv[1])), 0, 0, sys.argv[2]
while True:
    try:
        with socket.create_connection(where) as s, s.makefile("rwb") as lines:
            lines.write(b"hello\n")
            lines.flush()
            answer = lines.readline()
    except ConnectionRefusedError:
        refused += 1
    except (ConnectionResetError, BrokenPipeError):
        continue
    if answer:
        assert int(answer) > last, "%s after %d" % (answer, last)
        last = int(answer)
    try:
        open(stop).close()
        break
    except FileNotFoundError:
        pass
print("refused", refused, "last", last)
END
# port_of NODE CHILD: where its newest instance there listens.
port_of()
{
    on "$1" "history $2" | sed -n 's/.*listening.*tcp:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' | tail -n 1
}

TALLY="listen=tcp://127.0.0.1:* fdstore=1 ready=notify backoff=0 max_restarts=1000 -- \
python3 $EXAMPLES/tally_daemon.py"
expect_code 0 on n1 "start t $TALLY"
PORT=$(port_of n1 t)
[ -n "$PORT" ] || fail "no port in the history: $(on n1 'history t')"
background client python3 "$DIR/client.py" "$PORT" "$DIR/stop"
CLIENT=$LAST
RESTARTS=${PH_RESTARTS:-10} MOVES=${PH_MOVES:-4}
for ((I = 1; I <= RESTARTS / 2; I++)); do
    expect_code 0 on n1 'restart t'
    expect_code 0 on n1 'signal t KILL' "wait child t restarts = $I" 'wait child t state = running'
done
: >"$DIR/stop"
wait "$CLIENT" || fail "the client: $(cat "$DIR/client.log")"
has '^refused 0 last [1-9]' "$DIR/client.out"
LAST_COUNT=$(sed 's/.* //' "$DIR/client.out")

# On another node of the same machine: what was saved here is loaded there.
node n2 --listen 'tcp://127.0.0.1:*' --join "$SEED"
expect_code 0 on n1 'wait nodes = 2' 'wait settled = true'
expect_code 0 on n1 "start c socket=yes -- sh $EXAMPLES/counter_child.sh" 'call c inc 41'
for ((I = 0; I < MOVES; I++)); do
    TARGET=n$((I % 2 + 1))
    expect_code 0 on n1 "migrate c to $TARGET" "migrate t to $TARGET" 'wait settled = true'
    has "^c	$TARGET	" <(on n2 'pids c')
    expect_code 0 on n2 'send c inc'
done
expect $((41 + MOVES)) on n1 'call c get'
PORT=$(port_of n2 t)
: >"$DIR/stop"
expect "refused 0 last $((LAST_COUNT + 1))" python3 "$DIR/client.py" "$PORT" "$DIR/stop"

# One that waits for its next start moves with what it has stored.
expect_code 0 on n1 "start w ${TALLY/backoff=0/backoff=1h backoff_max=1h}" 'migrate w to n1' 'wait settled = true'
expect 'refused 0 last 1' python3 "$DIR/client.py" "$(port_of n1 w)" "$DIR/stop"
expect_code 0 on n1 'signal w KILL' 'wait child w restarts = 1' 'wait child w state = running' \
    'signal w KILL' 'wait child w state = backoff' 'migrate w to n2' 'wait settled = true'
expect 'refused 0 last 2' python3 "$DIR/client.py" "$(port_of n2 w)" "$DIR/stop"
expect_code 0 on n1 'stop all'
