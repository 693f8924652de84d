#!/usr/bin/env bash
# A node that is stopped under a quorum: its OS processes are dead before others start theirs.
. "${BASH_SOURCE[0]%/*}/../lib/e2e.sh"

FAST=(--heartbeat 200 --dead-after 2s --lease 1500 --hub default:partition=majority)

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

# What a child does: says who and when it is, then nothing. The first field of /proc/uptime is time.
cat >"$DIR/child" <<'END'
#!/bin/sh
read -r now rest </proc/uptime
echo "$PROCHUB_ID $$ $now" >>"${0%/*}/starts"
exec sleep 1000
END
chmod +x "$DIR/child"

# Waits for the end of all processes PID...; prints the time of the last one.
last_end='
import os, select, sys, time
for pid in sys.argv[1:]:
    try:
        fd = os.pidfd_open(int(pid))
    except ProcessLookupError:
        continue
    if not select.select([fd], [], [], 20)[0]:
        sys.exit("process " + pid + " does not end")
print(time.clock_gettime(time.CLOCK_BOOTTIME))'

node n1 --listen 'tcp://127.0.0.1:*' "${FAST[@]}"
SEED=$(endpoint_of n1)
node n2 --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
node n3 --listen 'tcp://127.0.0.1:*' --join "$SEED" "${FAST[@]}"
N3=$LAST
for name in n1 n2 n3; do
    on "$name" 'wait nodes = 3' 'wait partitioned = false' >/dev/null || fail "$name does not see three nodes"
done
on n1 "start p-[1..30] -- $DIR/child" 'wait settled = true' >/dev/null || fail "start"
eventually [ "$(wc -l <"$DIR/starts")" -ge 30 ]
COUNT=$(wc -l <"$DIR/starts")
read -ra CHILDREN <<<"$(on n1 'children node:n3' | cut -f 1 | paste -sd' ')"
[ ${#CHILDREN[@]} -gt 0 ] || fail "n3 has no children"

# The processes of n3, as they wrote it: of each child the last one.
LOST=()
for id in "${CHILDREN[@]}"; do
    LOST+=("$(awk -v id="$id" '$1 == id { pid = $2 } END { print pid }' "$DIR/starts")")
done
kill -STOP "$N3"
ENDED=$(python3 -c "$last_end" "${LOST[@]}") || fail "$ENDED"

# All of them come up again elsewhere, the first one after the last one has ended here.
has_restarted()
{
    [ "$(wc -l <"$DIR/starts")" -ge $((COUNT + ${#CHILDREN[@]})) ]
}
eventually has_restarted
FIRST=$(tail -n "+$((COUNT + 1))" "$DIR/starts" | cut -d' ' -f 3 | sort -n | head -n 1)
awk -v ended="$ENDED" -v first="$FIRST" 'BEGIN { exit !(ended < first) }' ||
    fail "a child started elsewhere at $FIRST, and one ended here at $ENDED"

# The node comes back and learns what happened; nothing runs twice, nothing is lost.
kill -CONT "$N3"
for name in n1 n2 n3; do
    on "$name" 'wait nodes = 3' 'wait settled = true' >/dev/null || fail "$name does not settle"
    expect 30 on "$name" 'count where state = running'
done
on n3 'events' >"$DIR/out"
grep -q "its node's lease ran out" "$DIR/out" || fail "why is not told"
each_runs_once()
{
    local alive=0 pid
    while read -r _ pid _; do
        is_gone "$pid" || alive=$((alive + 1))
    done <"$DIR/starts"
    [ $alive = 30 ]
}
eventually each_runs_once
