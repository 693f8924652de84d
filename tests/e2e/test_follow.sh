#!/usr/bin/env bash
# Those who watch: waits, events, status after a version; what they cost and how they end.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

node n1
node=$LAST

# `events follow` shows what comes, as it comes, and ends with its reader or its node.
background follow "$PROCHUB" attach -o jsonl -e 'events follow where type = mark'
attach 'dispatch mark payload=1' >/dev/null
eventually grep -q '"type":"mark"' "$DIR/follow.out"
expect_code 0 attach 'start w-[1..500] module=echo' 'dispatch mark payload=2' 'stop all'
eventually sh -c "[ \$(wc -l <\"$DIR/follow.out\") = 2 ]"

# since=SEQ gives what came after it.
last=$(attach 'events n=1' | cut -f1)
attach 'dispatch x' 'dispatch y' >/dev/null
expect $'x\ny' sh -c "\"$PROCHUB\" attach -e 'events since=$last' | cut -f3"
expect_code 0 attach 'events since=-5m'
expect_code 2 attach 'events since=yesterday'

# status after=VERSION waits for a newer picture.
version=$("$PROCHUB" attach -o json -e status | sed 's/.*"version":\([0-9]*\).*/\1/')
expect_code 5 attach "status after=$version timeout=50ms"
background newer "$PROCHUB" attach -o json -e "status after=$version"
newer=$LAST
attach 'start a module=echo' >/dev/null
wait "$newer" || fail "status after"
has '"t":"status"' "$DIR/newer.out"

# Many open waits cost nothing while nothing changes.
WAITS=${PH_WAITS:-100}
for ((i = 0; i < WAITS; i++)); do
    background "wait$i" "$PROCHUB" attach -e 'wait child last state = running timeout=1h'
done
cpu()
{
    sed 's/.*) //' "/proc/$node/stat" | awk '{ print $12 + $13 }'
}
eventually sh -c "[ \$(ls /proc/$node/task | wc -l) -ge $WAITS ]"
expect_code 5 attach 'wait count = 99 timeout=500ms'
before=$(cpu)
expect_code 5 attach 'wait count = 99 timeout=2s'
used=$(($(cpu) - before))
[ "$used" -le 10 ] || fail "$WAITS waits cost $used ticks in 2 s"
attach 'start last module=echo' >/dev/null
for ((i = 0; i < WAITS; i++)); do
    eventually is_gone "${PIDS[-$((i + 1))]}"
done

# An interrupted wait ends at once, with 130; the node goes on.
background interrupted "$PROCHUB" attach -e 'wait count = 99 timeout=1h'
waiting=$LAST
eventually sh -c "ls -l /proc/$waiting/fd | grep -q socket"
kill -INT "$waiting"
wait "$waiting"
[ $? = 130 ] || fail "interrupted"

# The node's end ends who follows.
background wait "$PROCHUB" attach -e 'wait count = 99 timeout=1h'
waiting=$LAST
eventually sh -c "ls -l /proc/$waiting/fd | grep -q socket"
kill -TERM "$node"
wait "$waiting"
code=$?
[ $code != 0 ] || fail "a wait that was not met says so"
