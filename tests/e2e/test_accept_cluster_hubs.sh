#!/usr/bin/env bash
# Nodes and hubs that come and go: seeds in any order, join and leave, names that are taken, another
# cluster, hubs on some of the nodes only.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
. "$PH_SOURCE_DIR/tests/lib/cluster.sh"

# sees NODE HUB COUNT: that node's hub has so many members.
sees()
{
    at "$1" -e "use $2" -e "wait nodes = $3 timeout=${patience}s" >/dev/null ||
        fail "$1 does not see $3 nodes in hub $2: $(at "$1" -o tsv -e "use $2" -e nodes)"
}

# settled_hub HUB NODE…
settled_hub()
{
    local hub=$1 name
    shift
    for name in "$@"; do
        sees "$name" "$hub" $#
        at "$name" -e "use $hub" -e "wait settled = true timeout=${patience}s" >/dev/null ||
            fail "$name, hub $hub: $(at "$name" -o json -e "use $hub" -e status)"
    done
}

rule "seeds need not answer when a node starts: the order does not matter"
port=$(free_port)
start_node n2 --join "tcp://127.0.0.1:$port"
start_node n3 --join "tcp://127.0.0.1:$port"
on n2 'assert nodes = 1'
node_order=()
start_node n1 --listen "tcp://127.0.0.1:$port"
node_order=(n1 n2 n3)
settled n1 n2 n3

rule "what was started before nodes met is one hub's afterwards"
start_node n4 --join "tcp://127.0.0.1:$(free_port)"
on n4 'start own-[1..60] module=counter' 'send own-7 inc 7' 'assert nodes = 1'
on n1 'start ours-[1..60] module=counter'
on n4 "join ${node_endpoint[n2]}"
settled n1 n2 n3 n4
agree n1 n2 n3 n4
on n3 count 'call own-7 get'
json 'v[0]["count"] == 120 and v[1]["reply"] == "7"'
same 120 "$(local_sum n1 n2 n3 n4)"
on n1 'stop all'

rule "a hub on three of the four nodes has three members; its children run there only"
for name in n1 n2 n3; do
    on $name 'hub create shop'
done
settled_hub shop n1 n2 n3
exits_on 3 n4 'use shop'
on n1 'use shop' 'start s-[1..90] module=counter' 'send s-1 inc 3' 'wait settled = true timeout=30s' children
json '{n for c in v[-1] for n in c["nodes"]} == {"n1", "n2", "n3"}'
on n1 'use shop' nodes
json '{n["name"]: n["state"] for n in v[1]} == {"n1": "up", "n2": "up", "n3": "up", "n4": "no-hub"}'
json 'all(n["since"] > "2" and n["uptime_ms"] < 600000 for n in v[1])'

rule "two hubs know nothing of each other's children"
on n2 'start s-1 module=kv' 'count' 'use shop' 'count' 'call s-1 get'
json 'v[1]["count"] == 1 and v[3]["count"] == 90 and v[4]["reply"] == "3"'
on n3 'stop s-1' 'use shop' 'assert count = 90'

rule "a hub that is created later on a running node joins the others"
on n4 'hub create shop'
settled_hub shop n1 n2 n3 n4
on n4 'use shop' 'count' 'count scope=local' 'call s-1 get'
json 'v[1]["count"] == 90 and 0 < v[2]["count"] < 90 and v[3]["reply"] == "3"'

rule "hub stop on a live node hands that hub's children over, the node and its other hub stay"
on n2 'hub stop shop'
settled_hub shop n1 n3 n4
on n1 'use shop' 'count' 'call s-1 get' children
json 'v[1]["count"] == 90 and v[2]["reply"] == "3" and "n2" not in {n for c in v[3] for n in c["nodes"]}'
settled n1 n2 n3 n4
exits_on 3 n2 'use shop'
on n2 'hub create shop'
settled_hub shop n1 n2 n3 n4
on n2 'use shop' 'call s-1 get'
json 'v[1]["reply"] == "3"'

rule "a hub with other strategies is refused, on both sides, with the reason"
on n1 'hub create strict partition=majority'
on n2 'hub create strict partition=diverge'
refused_event()
{
    at "$1" -o json -e 'use strict' -e 'events where type = member_refused' |
        value 'len([e for e in v[-1] if "options" in e["text"]]) > 0' /dev/stdin | grep -q True
}
eventually 20 refused_event n1
eventually 20 refused_event n2
on n1 'use strict' 'assert nodes = 1' 'hub stop strict'
on n2 'hub stop strict'

rule "leave hands over what runs here, the node stays alone, and join brings it back"
on n1 'start l-[1..80] module=counter' 'send l-3 inc 9'
on n4 leave
settled n1 n2 n3
same 80 "$(local_sum n1 n2 n3)"
on n4 'assert nodes = 1' count
json 'v[1]["count"] == 0'
on n1 'call l-3 get'
json 'v[0]["reply"] == "9"'
on n4 "join ${node_endpoint[n1]}"
settled n1 n2 n3 n4
same 80 "$(local_sum n1 n2 n3 n4)"
on n4 'call l-3 get'
json 'v[0]["reply"] == "9"'

# kept_apart NODE TEXT: `nodes` there says why it is alone.
kept_apart()
{
    at "$1" -o tsv -e nodes >/dev/null && grep -q "$2" "$dir/err"
}

rule "a node whose name is taken stays alone and says why; the one that has it goes on"
"$prochub" node --name n2 --control "ipc://$dir/other.d/c.sock" --listen 'tcp://127.0.0.1:*' \
    --join "${node_endpoint[n1]}" >"$dir/other.out" 2>"$dir/other.err" &
node_pid[other]=$!
own $!
eventually 20 node_is_ready other
eventually 20 kept_apart other "another node named 'n2'"
report "a name clash says: $(grep n2 "$dir/err" | head -c 200)"
on other 'assert nodes = 1'
settled n1 n2 n3 n4
same 80 "$(local_sum n1 n2 n3 n4)"
node_end other

rule "a killed node that starts again under its name is a new life of it, at once"
node_kill n3
start_node n3
settled n1 n2 n3 n4
same 80 "$(local_sum n1 n2 n3 n4)"
agree n1 n2 n3 n4
on n3 'hub create shop'
settled_hub shop n1 n2 n3 n4
on n3 'use shop' 'assert count = 90'

rule "the same at the same endpoint"
port=${node_endpoint[n3]##*:}
node_kill n3
start_node n3 --listen "tcp://127.0.0.1:$port"
settled n1 n2 n3 n4
same 80 "$(local_sum n1 n2 n3 n4)"

rule "nodes of another cluster are not spoken to, and that is said"
start_node x1 --cluster other --join "${node_endpoint[n1]}"
eventually 20 kept_apart x1 cluster
on x1 'assert nodes = 1'
on n1 'assert nodes = 4'
node_leave x1

rule "nodes that end all at the same time end well"
for name in n1 n2 n3 n4; do
    kill -TERM "${node_pid[$name]}"
done
for name in n1 n2 n3 n4; do
    eventually 60 gone "${node_pid[$name]}"
    code=0
    wait "${node_pid[$name]}" || code=$?
    same 0 $code
    unset "owned[${node_pid[$name]}]"
done
