#!/usr/bin/env bash
# OS processes: output, restarts, giving up, readiness, signals, and many killed at once.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

node n1 
node=$LAST

# Output of both streams, escaped; follow shows what comes and ends with the child.
attach 'start talk -- /bin/sh -c "echo one; echo two >&2; printf \"\\033[31mred\\n\"; exec /bin/sleep 1000"' >/dev/null
eventually sh -c "\"$PROCHUB\" attach -e 'logs talk' | grep -q red"
expect $'\\x1b[31mred\none\ntwo' sh -c "\"$PROCHUB\" attach -e 'logs talk' | LC_ALL=C sort"
expect '\x1b[31mred' attach 'logs talk n=1'
background follow "$PROCHUB" attach -e 'logs talk follow'
follow=$LAST
eventually grep -q red "$DIR/follow.out"
expect_code 0 attach 'stop talk'
wait "$follow"
[ $? = 0 ] || fail "following ends with its child"

# A crashing program is restarted, then given up with a reason; exit codes in words.
expect_code 0 attach 'start crash max_restarts=2 max_seconds=60s backoff=10ms -- /bin/sh -c "exit 3"' \
    'wait child crash state = failed timeout=10s'
has '"last_exit":"exited with code 3"' <("$PROCHUB" attach -o json -e 'child crash')
has '"state":"failed"' <("$PROCHUB" attach -o json -e 'child crash')
attach 'history crash' >"$DIR/history"
has 'child_failed' "$DIR/history"
expect_code 0 attach 'stop crash'

# start reports what happened to whom.
expect_code 7 attach 'start ok -- /bin/sleep 1000' 'stop ok nobody'
expect_code 1 attach 'start n-[1..30] -- /nonexistent/program'
has 'n-\[1\.\.30\]' "$DIR/err"
expect 0 attach 'count'
expect_code 3 attach 'start x module=nomodule'
expect_code 2 attach 'start x module=echo -- /bin/true'

# Readiness by sd_notify; one that is never said times out.
expect_code 5 attach 'start never ready=notify timeout=200ms -- /bin/sleep 1000'
expect_code 0 attach 'assert child never state = starting' 'stop never'

# Signals reach the main process.
attach "start sig -- /bin/sh -c 'trap \"echo got\" USR1; while :; do /bin/sleep 0.05; done'" >/dev/null
attach 'signal sig USR1' >/dev/null || fail "signal"
eventually sh -c "\"$PROCHUB\" attach -e 'logs sig' | grep -q got"
expect_code 2 attach 'signal sig NOSIGNAL'
expect_code 4 attach 'send sig hello'
expect_code 0 attach 'stop sig'

# Many processes, all killed at once from outside: all run again, none twice, none lost.
COUNT=${PH_PROCESSES:-300}
attach "start p-[1..$COUNT] -- /bin/sleep 12345" >/dev/null || fail "start of $COUNT"
"$PROCHUB" attach -o tsv -e 'children p-*' | cut -f6 >"$DIR/before"
[ "$(sort -u "$DIR/before" | wc -l)" = "$COUNT" ] || fail "$COUNT processes"
xargs kill -KILL <"$DIR/before"
expect_code 0 attach "wait restarts >= $COUNT timeout=60s" \
    "wait count(where state = running) = $COUNT timeout=60s"
"$PROCHUB" attach -o tsv -e 'children p-*' | cut -f6 >"$DIR/after"
[ "$(sort -u "$DIR/after" | wc -l)" = "$COUNT" ] || fail "all run again"
[ -z "$(sort "$DIR/before" "$DIR/after" | uniq -d)" ] || fail "new processes"
keeper=$(pgrep -P "$node" -x prochub-keeper)
[ "$(pgrep -P "$keeper" -c -x sleep)" = "$COUNT" ] || fail "none twice"

# kill -9 of the keeper leaves nothing behind: the node starts them again under a new one.
kill -KILL "$keeper"
expect_code 0 attach "wait restarts >= $((2 * COUNT)) timeout=60s" \
    "wait count(where state = running) = $COUNT timeout=60s"
while read -r pid; do
    eventually is_gone "$pid"
done <"$DIR/after"

# kill -9 of the node, too.
"$PROCHUB" attach -o tsv -e 'children p-*' | cut -f6 >"$DIR/last"
kill -KILL "$node"
while read -r pid; do
    eventually is_gone "$pid"
done <"$DIR/last"
