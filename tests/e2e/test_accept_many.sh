#!/usr/bin/env bash
# 100,000 module children by a script on stdin: what it prints, how long each command takes, and how
# much memory a child costs.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"

n=$(scaled 100000)
limit_ms=2000
is_plain || limit_ms=20000
printf 'start w-[1..%s] module=counter\nwait count = %s\nsend w-7 inc 5\ncall w-7 get\nstop all\nassert count = 0\n' \
    "$n" "$n" >"$dir/script"

rule "the script of the issue prints what it should"
exits 0 "$prochub" -o json <"$dir/script"
silent
json 'len(v) == 6'
json "v[0] == {'t': 'started', 'changed': $n, 'same': 0, 'failed': []}"
json 'v[1]["t"] == "wait" and v[1]["met"] is True and v[1]["waited_ms"] >= 0'
json 'v[2]["t"] == "sent" and v[2]["id"] == "w-7"'
json 'v[3] == {"t": "reply", "id": "w-7", "reply": "5"}'
json "v[4] == {'t': 'stopped', 'changed': $n, 'failed': []}"
json 'v[5]["t"] == "assert" and v[5]["holds"] is True'

# The moment in which each command's output arrives.
times='
import subprocess, sys, time
program, script = sys.argv[1:]
run = subprocess.Popen([program, "-o", "json"], stdin=open(script), stdout=subprocess.PIPE)
last, worst = time.monotonic(), 0
for line in run.stdout:
    now = time.monotonic()
    worst, last = max(worst, now - last), now
if run.wait():
    sys.exit(1)
print(round(worst * 1000))'

rule "each command takes at most two seconds, its output is there when it is done"
worst=$("$python" -c "$times" "$prochub" "$dir/script")
at_most "$worst" $limit_ms ms "slowest command of the script over $n children"

rule "a running node takes at most 400 bytes for a child"
node n1
at n1 -e 'start warm-[1..100] module=counter' -e 'stop all' >/dev/null
before=$(rss_kib "${node_pid[n1]}")
exits 0 at n1 -o json -e "start w-[1..$n] module=counter"
json "v[0]['changed'] == $n"
after=$(rss_kib "${node_pid[n1]}")
each=$(((after - before) * 1024 / n))
if is_plain; then
    at_most "$each" 440 bytes "memory per counter child, with its state"
else
    report "memory per counter child under a sanitizer: $each bytes"
fi

rule "starting what runs already changes nothing, and quickly"
exits 0 at n1 -o json -e "start w-[1..$n] module=counter"
json "v[0] == {'t': 'started', 'changed': 0, 'same': $n, 'failed': []}"
at_most "$took" $limit_ms ms "start of $n children that run"

rule "what asks about all children answers quickly"
exits 0 at n1 -o json -e 'children limit=10 sort=-restarts' -e 'count where state = running' \
    -e "children w-[$((n - 1))..$n]"
json "len(v[0]) == 10 and v[1]['count'] == $n and [c['id'] for c in v[2]] == ['w-$((n - 1))', 'w-$n']"
at_most "$took" $limit_ms ms "list, count and range"

rule "memory comes back: a second round takes hardly more than the first"
for _ in 1 2 3; do
    at n1 -e 'stop all' -e "start w-[1..$n] module=counter" >/dev/null
done
again=$(rss_kib "${node_pid[n1]}")
report "after three more rounds: $(((again - before) * 1024 / n)) bytes per child"
! is_plain || [ $((again - before)) -le $(((after - before) * 3 / 2 + 4096)) ] ||
    fail "from $before over $after to $again KiB"
node_end n1
