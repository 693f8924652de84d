#!/usr/bin/env bash
# docs/examples/services.prochub as it stands, with the real programs: readiness, restart, logs, give-up.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
need busybox redis-server curl

example=$PH_SOURCE_DIR/docs/examples/services.prochub
program busybox busybox
program redis-server redis-server
export PATH=$dir/bin:$PATH
mkdir "$dir/site"
seq 20000 >"$dir/site/numbers.txt"
export SITE=$dir/site HTTP_PORT REDIS_PORT
HTTP_PORT=$(free_port)
REDIS_PORT=$(free_port)
cd "$dir"

rule "the example runs as it stands, and all its checks hold"
exits 0 "$prochub" -o json "$example"
silent
json 'v[0] == {"t": "started", "changed": 1, "same": 0, "failed": []}'
json '[x for x in v if isinstance(x, dict) and x["t"] in ("wait", "assert")] and
    all(x.get("met", x.get("holds")) for x in v if isinstance(x, dict) and x["t"] in ("wait", "assert"))'

rule "its give-up is told: state, reason, restarts, the whole history with causes, each attempt's log"
json '[x for x in v if isinstance(x, dict) and x.get("id") == "flaky" and x["state"] == "failed"
       and x["restarts"] == 3 and x["last_exit"] == "exited with code 3"]'
json '[e["type"] for e in [x for x in v if isinstance(x, list) and x[0]["t"] == "event"][0]] ==
    ["start", "child_started"] + ["child_exited", "child_restarted"] +
    ["child_exited", "child_backoff", "child_restarted"] * 2 + ["child_exited", "child_failed"]'
json 'len([r for x in v if isinstance(x, list) for r in x if r.get("id") == "flaky" and "log" in r["t"]
       and r["text"].startswith("attempt of process ")]) == 4'

rule "the database is ready when it says so itself: its log has the line before the wait is over"
json '"Ready to accept" in " ".join(r["text"] for x in v if isinstance(x, list) for r in x
       if r.get("id") == "db" and "log" in r["t"])'

rule "nothing of it is left"
same "" "$(program_pids)"

rule "the same services under a node serve: HTTP content, PING"
sed '/^# Kill the web server/,$d' "$example" >"$dir/services"
node n1 --config "$dir/services"
curl -sf --max-time 10 "http://127.0.0.1:$HTTP_PORT/numbers.txt" | cmp - "$dir/site/numbers.txt"
exec 9<>"/dev/tcp/127.0.0.1/$REDIS_PORT"
echo PING >&9
IFS= read -r -t 10 pong <&9
exec 9>&-
same +PONG "${pong%$'\r'}"

rule "a web server killed from outside is back as a new process and serves"
old=$(at n1 -o json -e 'pids web' | value 'v[0][0]["pid"]' /dev/stdin)
kill -KILL "$old"
at n1 -e 'wait child web restarts = 1 timeout=20s' -e 'wait child web state = running' >/dev/null
new=$(at n1 -o json -e 'pids web' | value 'v[0][0]["pid"]' /dev/stdin)
[ "$new" != "$old" ] || fail "still process $old"
serves()
{
    curl -sf --max-time 5 "http://127.0.0.1:$HTTP_PORT/numbers.txt" | cmp -s - "$dir/site/numbers.txt"
}
eventually 10 serves

rule "the killed database comes back ready, and its events say how it ended"
at n1 -e 'signal db KILL' -e 'wait child db restarts = 1 timeout=20s' \
    -e 'wait child db state = running timeout=20s' >/dev/null
at n1 -o json -e 'history db' >"$dir/out"
json '[e["type"] for e in v[0]][-2:] == ["child_exited", "child_restarted"] and
    "SIGKILL" in v[0][-2]["text"]'

rule "a node that is told to end ends all of them"
node_end n1
same "" "$(program_pids)"
