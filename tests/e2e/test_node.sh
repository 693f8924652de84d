#!/usr/bin/env bash
# A node in the foreground: configuration, attaching, reloading, its end in every way.
. "$PH_SOURCE_DIR/tests/lib/e2e.sh"

cat >"$DIR/config" <<'EOF'
node name=n1
hub create main lock.timeout=5s
start web -- /bin/sleep 1000
start counter module=counter
hook add child_failed exec=/bin/true
EOF
background n1 "$PROCHUB" node -c "$DIR/config"
node=$LAST
eventually grep -q 'node n1 is ready' "$DIR/n1.log"
has "control ipc://$DIR/prochub/n1.sock, pid $node" "$DIR/n1.log"
[ "$(stat -c %a "$DIR/prochub")" = 700 ] || fail "the directory is private"
[ "$(stat -c %a "$DIR/prochub/n1.sock")" = 600 ] || fail "the socket is private"

# Attached: the default node, an endpoint, a script on standard input; sessions of their own.
expect 2 attach count
expect 2 "$PROCHUB" attach "ipc://$DIR/prochub/n1.sock" -e count
printf 'send counter inc 3\ncall counter get\n' | expect 3 "$PROCHUB" attach
attach 'hub create second' 'use second' 'start x module=echo' >/dev/null || fail "a second hub"
expect 2 attach count
expect 1 "$PROCHUB" attach --hub second -e count
expect_code 3 "$PROCHUB" attach --hub nohub -e count
expect_code 0 attach 'hub stop second'

# A second node does not get the socket.
expect_code 4 "$PROCHUB" node -c "$DIR/config"
has "belongs to node n1, process $node" "$DIR/err"
expect 2 attach count

# SIGHUP: what is there stays, what is new comes; a broken script changes nothing.
pid=$(attach 'pids web' | cut -f3)
printf 'start late module=echo\n' >>"$DIR/config"
kill -HUP "$node"
eventually attach 'child late'
expect 3 attach count
expect 1 sh -c "\"$PROCHUB\" attach -e hooks | wc -l"
[ "$(attach 'pids web' | cut -f3)" = "$pid" ] || fail "a running child was touched"
printf 'start later module=echo\nstrat x\n' >>"$DIR/config"
kill -HUP "$node"
eventually grep -q 'nothing was changed' "$DIR/n1.log"
has 'config:8:1: usage: unknown command strat' "$DIR/n1.log"
expect 3 attach count

# SIGTERM ends it gracefully: exit 0, children gone, socket gone.
kill -TERM "$node"
wait "$node"
[ $? = 0 ] || fail "SIGTERM is a graceful end"
eventually is_gone "$pid"
[ ! -e "$DIR/prochub/n1.sock" ] || fail "the socket stayed behind"
expect_code 6 attach count
has 'prochub node' "$DIR/err"

# `shutdown` ends it as well, and answers.
node n2
node=$LAST
expect_code 0 attach shutdown
wait "$node"
[ $? = 0 ] || fail "shutdown is a graceful end"

# kill -9 of a node leaves no child, and its name can be used again at once.
node n3
node=$LAST
attach 'start s-[1..5] -- /bin/sh -c "/bin/sleep 1000 & /bin/sleep 1000"' >/dev/null || fail "start"
pids=$(for i in 1 2 3 4 5; do attach "pids s-$i" | cut -f3; done)
kill -KILL "$node"
wait "$node" 2>/dev/null
for pid in $pids; do
    eventually is_gone "$pid"
done
[ -e "$DIR/prochub/n3.sock" ] || fail "a killed node leaves its socket behind"
rm -f "$DIR/n3.log"
node n3
expect 0 attach count

# Two nodes: attach wants to know which.
node n4
expect_code 6 attach count
has 'n3' "$DIR/err"
has 'n4' "$DIR/err"
expect 0 "$PROCHUB" attach --name n4 -e count

# Broken configurations end before anything begins.
printf 'start x module=echo\nnode color=red\n' >"$DIR/broken"
expect_code 2 "$PROCHUB" node -c "$DIR/broken" --name n5
has 'broken:2:6: usage: color' "$DIR/err"
printf 'node keys=/tmp\n' >"$DIR/broken"
expect_code 4 "$PROCHUB" node -c "$DIR/broken" --name n5
head -c 5000 /dev/urandom >"$DIR/broken"
expect_code 2 "$PROCHUB" node -c "$DIR/broken" --name n5
printf 'start x -- /nonexistent\n' >"$DIR/broken"
expect_code 1 "$PROCHUB" node -c "$DIR/broken" --name n5
expect_code 3 "$PROCHUB" node -c "$DIR/nothing-there" --name n5
expect_code 2 "$PROCHUB" node --name 'no name'
