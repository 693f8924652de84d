# cluster.sh: what the acceptance tests of several nodes share. Source it after accept.sh.
#
# Nodes are real processes on loopback; the kernel chooses their ports. Each one that is started is told
# to join those that were there before. Their times are short, so that tests are; a test says what it
# bounds in terms of $dead_after_ms.
# shellcheck shell=bash

heartbeat_ms=200
dead_after_ms=2000
lease_ms=1500
# Under a sanitizer a node that works may be silent for long.
if ! is_plain; then
    heartbeat_ms=500 dead_after_ms=6000 lease_ms=5000
fi
# Seconds that a condition may take in `wait`.
patience=$((60 * (PH_SCALE > 1 ? 3 : 1)))
declare -A node_endpoint=()
node_order=()

# start_node NAME [OPTION…]: a node with links, ready; its endpoint is in node_endpoint. It joins the
# nodes that were started before, unless a --join is among the options.
start_node()
{
    local name=$1 seeds=() option
    shift
    for option in "${node_order[@]}"; do
        [ "$option" = "$name" ] || seeds+=("${node_endpoint[$option]}")
    done
    local join listen='tcp://127.0.0.1:*'
    join=$(IFS=, && echo "${seeds[*]}")
    [[ " $* " != *" --join "* ]] || join=
    [[ " $* " != *" --listen "* ]] || listen=
    node "$name" ${listen:+--listen "$listen"} --heartbeat "${heartbeat_ms}ms" \
        --dead-after "${dead_after_ms}ms" --lease "${lease_ms}ms" ${join:+--join "$join"} "$@"
    node_endpoint[$name]=$(ask "$name" nodes '[n["endpoint"] for n in v if n["self"]][0]')
    for option in "${node_order[@]}"; do
        [ "$option" != "$name" ] || return 0
    done
    node_order+=("$name")
}

# start_nodes NAME… [-- OPTION…]
start_nodes()
{
    local names=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        names+=("$1")
        shift
    done
    shift $(($# > 0 ? 1 : 0))
    local name
    for name in "${names[@]}"; do
        start_node "$name" "$@"
    done
}

# on NODE COMMAND…: runs the commands there; JSON in $dir/out. They must succeed.
on()
{
    exits_on 0 "$@"
}

# exits_on CODE NODE COMMAND…: the same, with the exit code that is wanted.
exits_on()
{
    local code=$1 name=$2 words=() command
    shift 2
    for command in "$@"; do
        words+=(-e "$command")
    done
    exits "$code" "$prochub" attach "ipc://$dir/$name.d/c.sock" -o json "${words[@]}"
}

# ask NODE COMMAND EXPR: prints EXPR (Python) of v, what the command answers.
ask()
{
    at "$1" -o json -e "$2" | value "(lambda v: $3)(v[0])" /dev/stdin
}

# settled NODE…: those nodes form one hub without others, and all that is wanted runs where it belongs.
settled()
{
    local name
    for name in "$@"; do
        at "$name" -e "wait nodes = $# timeout=${patience}s" >/dev/null ||
            fail "$name does not see $# nodes: $(at "$name" -o tsv -e nodes)"
        at "$name" -e "wait migrating = 0 timeout=${patience}s" >/dev/null ||
            fail "$name: moves do not end: $(at "$name" -o json -e status)"
    done
    for name in "$@"; do
        at "$name" -e "wait settled = true timeout=${patience}s" >/dev/null ||
            fail "$name does not settle: $(at "$name" -o json -e status)"
    done
}

# agree NODE…: they show the same children, with node, state, epoch and process of each, and the same
# registry.
agree()
{
    local name first=
    for name in "$@"; do
        at "$name" -o json -e 'children' -e 'registry' >"$dir/$name.seen" || fail "$name does not answer"
        "$python" -c "$digest_program" "$dir/$name.seen" >"$dir/$name.same"
        first=${first:-$name}
        cmp -s "$dir/$first.same" "$dir/$name.same" ||
            fail "$first and $name differ: $(diff "$dir/$first.same" "$dir/$name.same" | head -n 6)"
    done
}
digest_program='
import json, sys
for rows in map(json.loads, open(sys.argv[1])):
    for c in sorted(rows, key=lambda c: c["id"]):
        keep = ("id", "nodes", "state", "pid", "restarts", "epoch", "tags", "meta", "module", "spec")
        print(json.dumps({key: c.get(key) for key in keep}))'

# places NODE FILE: "ID NODE" of every child, as that node sees it.
places()
{
    at "$1" -o json -e children | value \
        '"\n".join(sorted(c["id"] + " " + ",".join(c["nodes"]) for c in v[0]))' /dev/stdin >"$2"
}

# local_sum NODE…: how many children run on those nodes, each asked for its own.
local_sum()
{
    local name sum=0
    for name in "$@"; do
        sum=$((sum + $(ask "$name" 'count scope=local' 'v["count"]')))
    done
    echo $sum
}

# node_kill NODE: SIGKILL.
node_kill()
{
    local pid=${node_pid[$1]}
    kill -KILL "$pid"
    { wait "$pid"; } 2>/dev/null || true
    unset "owned[$pid]" "node_pid[$1]"
    node_forget "$1"
}

# power_cut NODE…: SIGKILL to all at once; none sees another one die.
power_cut()
{
    local name pids=()
    for name in "$@"; do
        pids+=("${node_pid[$name]}")
        unset "owned[${node_pid[$name]}]" "node_pid[$name]"
        node_forget "$name"
    done
    kill -STOP "${pids[@]}"
    kill -KILL "${pids[@]}"
    { wait "${pids[@]}"; } 2>/dev/null || true
}

# node_leave NODE: SIGTERM; it must end with 0.
node_leave()
{
    node_end "$1" TERM
    node_forget "$1"
}

node_forget()
{
    local name kept=()
    for name in "${node_order[@]}"; do
        [ "$name" = "$1" ] || kept+=("$name")
    done
    node_order=("${kept[@]}")
}

# event_ms NODE SINCE TYPE,…: times (ms of today) of such events with a later number, one a line.
event_ms()
{
    at "$1" -o json -e "events since=$2" | "$python" -c "$event_program" "$3"
}
event_program='
import datetime, json, sys
for e in json.load(sys.stdin):
    if e.get("type") in sys.argv[1].split(","):
        print(round(datetime.datetime.fromisoformat(e["time"][:-1]).timestamp() * 1000))'

# ---- Children that tell when they ran ----

# start_beats NODE PREFIX COUNT: OS processes that write "ID EPOCH MILLISECONDS" into $dir/beats.
start_beats()
{
    [ -e "$dir/bin/beat" ] || program beat dash
    [ -e "$dir/bin/beatsleep" ] || program beatsleep sleep
    [ -e "$dir/beat" ] || cat >"$dir/beat" <<END
while :; do
    echo "\$PROCHUB_ID \$PROCHUB_EPOCH \$(date +%s%3N)" >>$dir/beats
    $dir/bin/beatsleep 0.05
done
END
    on "$1" "start $2-[1..$3] -- $dir/bin/beat $dir/beat"
}

# beats_fresh COUNT: so many different ids were heard during the last 500 ms.
beats_fresh()
{
    local since=$(($(now_ms) - 500))
    [ "$(tail -n 2000 "$dir/beats" | awk -v since=$since '$3 >= since { print $1 }' | sort -u | wc -l)" = "$1" ]
}

# doubled [SINCE]: the longest time (ms) after SINCE for which a child ran twice, by what $dir/beats says.
doubled()
{
    "$python" -c "$doubled_program" "$dir/beats" "${1:-0}"
}
doubled_program='
import collections, sys
lives = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    words = line.split()
    if len(words) == 3:
        life = lives[words[0]].setdefault(words[1], [int(words[2])] * 2)
        life[1] = max(life[1], int(words[2]))
worst, since = 0, int(sys.argv[2])
for of_one in lives.values():
    spans = sorted(of_one.values())
    for i, (first, last) in enumerate(spans):
        for other_first, other_last in spans[i + 1:]:
            worst = max(worst, min(last, other_last) - max(first, other_first, since))
print(worst)'

# ---- Networks with faults ----

# start_behind NAME [OPTION…]: a node that the others reach through a fault proxy only.
start_behind()
{
    local name=$1 port line
    shift
    port=$(free_port)
    mkfifo "$dir/$name.orders" "$dir/$name.answers"
    "$python" "$PH_SOURCE_DIR/tests/lib/fault_proxy.py" "127.0.0.1:$port" \
        <"$dir/$name.orders" >"$dir/$name.answers" 2>"$dir/$name-proxy.err" &
    own $!
    exec {order_fd[$name]}>"$dir/$name.orders" {answer_fd[$name]}<"$dir/$name.answers"
    read -rt 20 line <&"${answer_fd[$name]}" || fail "no proxy"
    start_node "$name" --listen "tcp://127.0.0.1:$port" --advertise "tcp://127.0.0.1:${line##*:}" "$@"
}
declare -A order_fd=() answer_fd=()

# link NAME COMMAND: an order for the proxy in front of that node.
link()
{
    local answer
    echo "$2" >&"${order_fd[$1]}"
    read -rt 20 answer <&"${answer_fd[$1]}" || fail "the proxy of $1 does not answer"
    [[ $answer == ok* ]] || fail "the proxy of $1: $answer"
}
