#!/usr/bin/env bash
# The command language over three nodes: what each command says, from whichever node it is asked.
. "${BASH_SOURCE[0]%/*}/../lib/e2e.sh"

FAST=(--heartbeat 100 --dead-after 1s --lease 800)

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

# The endpoint in a node's ready line.
endpoint_of()
{
    sed -n 's/.* is ready, listen \([^,]*\), control .*/\1/p' "$DIR/$1.log"
}

# column N of the rows of standard input whose first column is KEY.
column()
{
    awk -F'\t' -v key="$1" -v n="$2" '$1 == key { print $n }'
}

node n1 --listen 'tcp://127.0.0.1:*' "${FAST[@]}"
SEED=$(endpoint_of n1)
[[ $SEED =~ ^tcp://127\.0\.0\.1:[0-9]+$ ]] || fail "no endpoint in the ready line"
# A node that is alone has settled, whether or not anybody asks it for anything.
on n1 'wait settled = true timeout=10s' || fail "alone"
node n2 --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
node n3 --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
N3=$LAST

# The chosen endpoint is in `config`; the bounds that follow from the times are, too.
on n1 config >"$DIR/out" || fail "config"
has "^node	advertise	$SEED		default$" "$DIR/out"
has '^node	dead-after	1000	ms	option$' "$DIR/out"
has '^bound	failover	1100	ms' "$DIR/out"

# A node's threads go by the names of docs/concurrency.md.
cat /proc/"$N3"/task/*/comm >"$DIR/out"
for thread in ph-hub ph-worker ph-watchdog ph-timer ph-rcu ph-links ph-remote ph-control; do
    has "^$thread\$" "$DIR/out"
done

# Every node sees all members, and itself as such.
for name in n1 n2 n3; do
    on "$name" 'wait nodes = 3' || fail "$name does not see three nodes"
    on "$name" nodes >"$DIR/out"
    [ "$(cut -f 1 "$DIR/out" | sort | paste -sd' ')" = "n1 n2 n3" ] || fail "members of $name"
    [ "$(column "$name" 4 <"$DIR/out")" = true ] || fail "$name is not itself"
done

# What is started on one node is seen on all; each child is where its owner is.
on n1 'start w-[1..60] module=counter' \
    "start p-[1..6] -- /bin/sh -c 'echo hello from \$PROCHUB_ID; exec sleep 1000'" \
    'wait settled = true' >/dev/null || fail "start"
for name in n1 n2 n3; do
    expect 66 on "$name" count
    [ "$(on "$name" "count node:$name")" = "$(on "$name" 'count scope=local')" ] || fail "local"
done
[ "$(($(on n1 'count node:n1') + $(on n1 'count node:n2') + $(on n1 'count node:n3')))" = 66 ] ||
    fail "the nodes' children are not all children"
on n2 'children w-*' | cut -f 1,3 | sort >"$DIR/placed"
on n3 'owner w-[1..60]' | sort >"$DIR/owned"
cmp "$DIR/placed" "$DIR/owned" >&2 || fail "children are not where their owners are"

# What only the child's node knows comes from there: log, history, everything about one.
for name in n1 n2 n3; do
    for id in p-1 p-2 p-3 p-4 p-5 p-6; do
        expect "hello from $id" on "$name" "logs $id"
        on "$name" "history $id" | grep -q child_started || fail "history of $id from $name"
        on "$name" "child $id" | cut -f 1,16 | grep -q "^$id	1$" || fail "child $id from $name"
    done
done
for name in n1 n2 n3; do
    expect_code 4 on "$name" 'send p-1 hello'
    expect_code 4 on "$name" 'call p-1 hello'
done
expect_code 3 on n1 'logs nobody'
expect_code 4 on n1 'logs w-1'
expect_code 3 on n1 'events node=n9'
on n1 'events node=n2 where type = child_started' | grep -q child_started || fail "events node="

# A move is done when the child runs there; the pin keeps it until it is taken away.
OWNER=$(on n1 'owner w-7' | cut -f 2)
for target in n1 n2 n3; do
    [ "$(on n1 "migrate w-7 to $target" 'wait settled = true' 'pids w-7' | tail -n 1 | cut -f 2)" = \
        "$target" ] || fail "w-7 is not on $target"
done
on n2 'unpin w-7' 'wait settled = true' >/dev/null || fail "unpin"
expect "w-7	$OWNER" bash -c "'$PROCHUB' attach --name n1 -e 'children w-7' | cut -f 1,3"
expect_code 3 on n1 'migrate w-7 to n9'
expect_code 3 on n1 'children node:n9'
on n1 migrations | grep -q '^w-7	' || fail "migrations"

# A plan says what a drain then does; a drained node is empty until it is taken back.
on n1 'plan drain n2' 2>"$DIR/err" | sort >"$DIR/plan"
[ "$(wc -l <"$DIR/plan")" = "$(on n1 'count node:n2')" ] || fail "plan drain n2"
on n3 'drain n2' >/dev/null || fail "drain"
expect 0 on n1 'count node:n2'
[ "$(on n1 nodes | column n2 3)" = draining ] || fail "n2 is not draining"
while IFS=$'\t' read -r id _ to; do
    [ "$(on n1 "children $id" | cut -f 3)" = "$to" ] || fail "$id is not where the plan said"
done <"$DIR/plan"
on n1 'undrain n2' 'wait settled = true' >/dev/null || fail "undrain"
expect "$(wc -l <"$DIR/plan")" on n1 'count node:n2'

# A node that dies is told of at once by whoever asks it, and its children start elsewhere.
VICTIM=$(on n1 'children p-* where node = n3' | head -n 1 | cut -f 1)
[ -n "$VICTIM" ] || VICTIM=$(on n1 'migrate p-1 to n3' >/dev/null && echo p-1)
background follow "$PROCHUB" attach --name n1 -e "logs $VICTIM follow"
FOLLOW=$LAST
eventually grep -q "hello from $VICTIM" "$DIR/follow.out"
kill -KILL "$N3"
eventually is_gone "$FOLLOW"
has 'no-connection: no connection to node n3' "$DIR/follow.log"
on n1 'wait nodes = 2' 'wait settled = true' || fail "n3 is still there"
expect 66 on n2 count
expect 0 on n2 'count where state = unknown'
[ "$(on n1 nodes | column n3 3)" = down ] || fail "n3 is not down"

# A node that ends hands its children over; one that is alone again has all.
on n2 shutdown
on n1 'wait nodes = 1' 'wait settled = true' || fail "n2 has not left"
expect 66 on n1 'count scope=local'

# A node that was stopped, and replaced under its name meanwhile, runs nothing when it goes on.
node n2 --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
OLD=$LAST
on n1 'wait nodes = 2' 'wait settled = true' || fail "n2 has not joined"
kill -STOP "$OLD"
on n1 'wait nodes = 1 timeout=20s' || fail "n2 is still there"
background another "$PROCHUB" node --name n2 --control "ipc://$DIR/another.sock" \
    --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
on n1 'wait nodes = 2 timeout=30s' 'wait settled = true' || fail "the other n2 has not joined"
kill -CONT "$OLD"
on n2 'wait partitioned = true timeout=30s' || fail "the old n2 goes on"
runs_nothing()
{
    [ "$(on n2 'count scope=local')" = 0 ]
}
eventually runs_nothing
expect 66 on n1 count
