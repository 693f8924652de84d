#!/usr/bin/env bash
# The gate as scripts see it: what passes, what waits and in which order, when it opens, and that every
# transition is told by events, status and hooks.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

cat >"$dir/hook" <<END
#!/bin/sh
{ cat; echo; } >>"$dir/hooks.jsonl"
END
chmod +x "$dir/hook"
: >"$dir/hooks.jsonl"

node n1
n()
{
    at n1 -o json "$@"
}
run()
{
    exits 0 n "$@"
}
hooked()
{
    value "len([h for h in v if $1]) > 0" "$dir/hooks.jsonl" | grep -q True
}

run -e "hook add priority_state_updated exec=$dir/hook" -e "hook add gate_expired exec=$dir/hook" \
    -e "hook add greet exec=$dir/hook"

rule "a lock holds what is below its priority and lets 10 and above pass"
run -e 'lock name=A for=60s' -e 'dispatch low' -e 'dispatch nine priority=9' -e 'dispatch ten priority=10' \
    -e 'dispatch high priority=100' -e 'queue' -e 'events where type = low or type = nine'
json '[x["outcome"] for x in v[1:5]] == ["held", "held", "passed", "passed"]'
json '[q["event"] for q in v[5]] == ["low", "nine"] and v[6] == []'

rule "status tells the holder and the time left; the lock outlives its connection"
run -e 'status' -e 'locks'
json 'v[0]["locked"] and v[0]["level"] == 10 and v[0]["holder"] == "A" and v[0]["held"] == 2'
json '0 < v[0]["lock_left_ms"] <= 60000 and v[1][0]["name"] == "A"'

rule "children start, stop and get messages while it is locked"
run -e 'start w-[1..100] module=counter' -e 'send w-1 inc' -e 'call w-1 get' -e 'stop all'
json 'v[0]["changed"] == 100 and v[2]["reply"] == "1" and v[3]["changed"] == 100'

rule "released, they pass in their order; events, status and hook tell it"
run -e 'dispatch third' -e 'unlock name=A' -e 'wait locked = false timeout=5s' -e 'status' -e 'events'
json 'not v[3]["locked"] and v[3]["level"] == 0 and v[3]["held"] == 0 and v[3]["holder"] is None'
json '[e["type"] for e in v[4] if e["type"] in ("low", "nine", "ten", "high", "third", "gate_locked",
      "gate_unlocked")] == ["gate_locked", "ten", "high", "gate_unlocked", "low", "nine", "third"]'
json '[e["text"] for e in v[4] if e["type"] == "gate_level"] == ["0 -> 10", "10 -> 0"]'
json '[e["seq"] for e in v[4]] == list(range(1, len(v[4]) + 1))'
eventually 10 hooked 'h["hook"] == "priority_state_updated" and h["level"] == 10 and h["before"] == 0'
eventually 10 hooked 'h["hook"] == "priority_state_updated" and h["level"] == 0 and h["before"] == 10'

rule "more locks do not turn the order around"
run -e 'lock name=A' -e 'dispatch o1' -e 'dispatch o2' -e 'dispatch o3' -e 'lock name=B' \
    -e 'dispatch o4' -e 'unlock' -e 'dispatch o5' -e 'unlock' -e 'events where type =~ "^o[0-9]$"'
json '[e["type"] for e in v[-1]] == ["o1", "o2", "o3", "o4", "o5"]'

rule "overlapping locks never open early: the level is the highest of the live ones"
run -e 'lock name=low priority=10' -e 'lock name=top priority=50' -e 'lock name=mid priority=20' \
    -e 'dispatch p15 priority=15' -e 'dispatch p30 priority=30' -e 'dispatch p60 priority=60' -e 'status'
json '[x["outcome"] for x in v[3:6]] == ["held", "held", "passed"]'
json 'v[6]["level"] == 50 and v[6]["holder"] == "top" and v[6]["locks"] == 3'
run -e 'unlock name=low' -e 'status' -e 'queue'
json 'v[1]["level"] == 50 and v[1]["locked"] and len(v[2]) == 2'
run -e 'unlock name=top' -e 'status' -e 'queue' -e 'events where type = p30'
json 'v[1]["level"] == 20 and [q["event"] for q in v[2]] == ["p15"] and len(v[3]) == 1'
run -e 'unlock name=mid' -e 'status' -e 'events where type = p15'
json 'v[1]["level"] == 0 and not v[1]["locked"] and len(v[2]) == 1'

rule "a stale or unknown release changes nothing and says so"
run -e 'lock name=keep'
exits 3 n -e 'unlock name=top'
json 'v[0]["t"] == "error" and v[0]["class"] == "not-found" and v[0]["exit"] == 3' "$dir/err"
exits 3 n -e 'unlock'
run -e 'assert locked = true' -e 'unlock name=all' -e 'assert locked = false'

rule "a name that is taken is refused; the lock stays what it was"
run -e 'lock name=one priority=10 for=60s'
exits 4 n -e 'lock name=one priority=100 for=1s'
run -e 'locks' -e 'unlock name=one'
json 'len(v[0]) == 1 and v[0][0]["priority"] == 10 and v[0][0]["left_ms"] > 50000'

rule "a lock opens by itself at its deadline, not before, and says so everywhere"
run -e 'lock name=short for=400ms' -e 'dispatch greet payload=late' -e 'wait locked = false timeout=10s' \
    -e 'status' -e 'events'
json 'v[1]["outcome"] == "held" and v[2]["met"] and 300 <= v[2]["waited_ms"]'
report "a deadline of 400 ms was seen after $(value 'v[2]["waited_ms"]') ms"
json 'v[3]["expired"] == 1'
json '[e["type"] for e in v[4]][-3:] == ["gate_expired", "gate_level", "greet"]'
eventually 10 hooked 'h["hook"] == "gate_expired" and h["lock"] == "short" and h["now"] == 0'
eventually 10 hooked 'h["hook"] == "greet" and h["payload"] == "late"'

rule "a deadline of one lock falls back to what the others demand"
run -e 'lock name=long priority=10 for=60s' -e 'lock name=brief priority=30 for=200ms' \
    -e 'dispatch q20 priority=20' -e 'dispatch q5 priority=5' -e 'wait level = 10 timeout=10s' -e 'status' \
    -e 'queue' -e 'unlock name=long' -e 'events where type =~ "^q[0-9]+$"'
json 'v[5]["level"] == 10 and v[5]["holder"] == "long" and [q["event"] for q in v[6]] == ["q5"]'
json '[e["type"] for e in v[-1]] == ["q20", "q5"]'

rule "what is to be discarded is dropped, by the lock or by the event, and counted"
run -e 'lock name=drop discard' -e 'dispatch d1' -e 'dispatch d2 priority=10' -e 'unlock' \
    -e 'lock name=hold' -e 'dispatch d3 discard' -e 'dispatch d4' -e 'unlock' -e 'events where type =~ "^d[0-9]$"' \
    -e 'status'
json '[x["outcome"] for x in v if "outcome" in x] == ["discarded", "passed", "discarded", "held"]'
json '[e["type"] for e in v[8]] == ["d2", "d4"] and v[9]["discarded"] == 2'

rule "a listener hears custom events in order, each once, and only those that passed"
: >"$dir/hooks.jsonl"
for i in $(seq 50); do
    echo "dispatch greet payload=$i priority=$((i % 2 * 10))"
done >"$dir/fifty"
run -e 'lock name=A' -e "source $dir/fifty" -e 'unlock'
eventually 20 hooked 'len([g for g in v if g.get("hook") == "greet"]) == 50'
json '[int(h["payload"]) for h in v if h["hook"] == "greet"] ==
    list(range(1, 51, 2)) + list(range(2, 51, 2))' "$dir/hooks.jsonl"

rule "a hook that fails, hangs or does not exist harms nothing and is told"
printf '#!/bin/sh\nexit 3\n' >"$dir/bad"
chmod +x "$dir/bad"
program sleeper sleep
printf '#!/bin/sh\nexec %s 100000\n' "$dir/bin/sleeper" >"$dir/hang"
chmod +x "$dir/hang"
run -e "hook add bad exec=$dir/bad id=b" -e "hook add hang exec=$dir/hang id=h timeout=300ms" \
    -e "hook add none exec=$dir/does-not-exist id=n" -e 'dispatch bad' -e 'dispatch hang' -e 'dispatch none' \
    -e 'start w module=echo' -e 'call w hi'
json 'v[-1]["reply"] == "hi"'
run -e 'wait count = 1 timeout=5s'
all_told()
{
    n -e 'events where type = hook_failed' >"$dir/out"
    [ "$(value 'len(v[0])')" = 3 ]
}
eventually 10 all_told
eventually 10 runs sleeper 0
run -e 'hooks' -e 'hook remove b' -e 'hook remove h' -e 'hook remove n' -e 'hooks'
json 'len(v[0]) == 6 and len(v[4]) == 3'
exits 3 n -e 'hook remove b'
exits 2 n -e 'hook add greet'

rule "ten sessions lock and release at the same time: in the end it is open and nothing is lost"
mine=()
for i in $(seq 10); do
    n -e "lock name=m$i for=30s" -e "dispatch many$i" -e 'sleep 50ms' -e 'unlock' >/dev/null &
    mine+=($!)
done
for pid in "${mine[@]}"; do
    wait "$pid"
done
run -e 'assert locked = false' -e 'events where type =~ "^many"' -e 'status'
json 'len(v[1]) == 10 and v[2]["held"] == 0 and v[2]["locks"] == 0'

rule "the queue behind the gate has a bound; what is beyond it is refused and counted"
limit=65536
{
    echo 'lock name=full'
    "$python" -c "print('dispatch x\n' * $limit)"
    printf 'status\ndispatch beyond\ndispatch high priority=10\nstatus\nunlock name=full\n'
    printf 'wait held = 0 timeout=60s\nstatus\nevents n=2\n'
} >"$dir/flood"
exits 4 "$prochub" -k -o json "$dir/flood"
json 'len([x for x in v if not isinstance(x, list) and x.get("outcome") == "held"]) == 65536'
json '[x["held"] for x in v if not isinstance(x, list) and x["t"] == "status"] == [65536, 65536, 0]'
json '[x["refused"] for x in v if not isinstance(x, list) and x["t"] == "status"] == [0, 1, 1]'
json '[x["outcome"] for x in v if not isinstance(x, list) and x.get("event") == "high"] == ["passed"]'
json '[e["type"] for e in v[-1]] == ["x", "x"]'
says 65536
node_end n1
