#!/usr/bin/env bash
# Children and modules that do everything wrong: each is contained and told, nobody else suffers.
. "${PH_SOURCE_DIR:?}/tests/lib/accept.sh"
need cc

program sleeper sleep
program shell dash
program yes yes
program ticker sleep
s=$dir/bin/sleeper
sh=$dir/bin/shell
mkdir "$dir/modules"
node n1 --modules "$dir/modules"
run()
{
    exits 0 at n1 -o json "$@"
}
nothing_runs()
{
    [ -z "$(program_pids)" ]
}
# A child beside all of this that must never notice anything.
run -e "start witness -- $sh -c 'while :; do echo tick; $dir/bin/ticker 0.1; done'" -e 'start counter module=counter'

rule "invalid sd_notify datagrams are told and change nothing; READY=1 still counts"
cat >"$dir/notify.py" <<'END'
import array, os, random, socket, sys, time
address = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
draw = random.Random(3)
def send(data, fds=None):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            s.sendmsg([data], extra, 0, address)
        except OSError:
            pass
for data in [b"", b"\0", b"READY", b"=1", b"READY=2", b"READY=1\0", b"READY=1\0STATUS=x", b"x" * 5000, b"\n" * 4096,
             b"WATCHDOG_USEC=abc", b"WATCHDOG_USEC=99999999999999999999999", b"MAINPID=1", b"MAINPID=-1", b"ERRNO=" * 100,
             b"STATUS=\xff\xfe\x1b[31m", b"STATUS=" + b"y" * 4000, b"READY=1 \n", b"READY= 1"]:
    send(data)
for i in range(200):
    send(draw.randbytes(draw.randint(1, 6000)))
for i in range(50):
    send(b"STATUS=with descriptors", [0, 1, 2] * 20)
if len(sys.argv) > 1:
    send(b"READY=1\nSTATUS=at last")
    open(sys.argv[1], "w").close()
time.sleep(100000)
END
run -e "start liar ready=notify wait=no -- $python $dir/notify.py" \
    -e 'wait child liar state = starting timeout=10s' -e 'try wait child liar state = running timeout=700ms'
json 'v[2]["t"] == "wait" and not v[2]["met"]'
fds=$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)
run -e "start honest ready=notify timeout=60s -- $python $dir/notify.py $dir/sent" -e 'child honest' \
    -e 'events where type = notify_invalid' -e 'stop liar honest' -e 'stats'
json 'v[1]["state"] == "running" and len(v[2]) >= 2 and v[4]["monitor"]["notify_invalid"] >= 200'
no_more()
{
    [ "$(find "/proc/${node_pid[n1]}/fd" -type l | wc -l)" -le "$fds" ]
}
eventually 10 no_more

rule "a child that closes all its descriptors, or the keeper's, runs and stops like others"
run -e "start closer -- $sh -c 'exec 0<&- 1<&- 2<&- 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; while :; do $s 1; done'" \
    -e "start closed -- $sh -c 'exec $s 100001 <&- >&- 2>&-'" -e 'wait count(where state = running) = 4 timeout=10s' \
    -e 'stop closer closed'
json 'v[3]["changed"] == 2'
# What keeps the pipe when the main process has gone: the end is told all the same.
run -e "start pipe restart=temporary -- $sh -c 'setsid $s 100002 & exit 0'" -e 'wait count(pipe) = 0 timeout=10s'

rule "a flood on stdout: other children's logs flow, memory is bounded, stop works at once"
before=$(rss_kib "${node_pid[n1]}")
run -e "start flood[1..4] -- $dir/bin/yes $(printf 'flood%.0s' $(seq 20))" \
    -e "start long -- $sh -c 'exec tr \"\\\\0\" x </dev/zero'"
flowing()
{
    at n1 -o json -e 'logs witness n=100000' >"$dir/out"
    [ "$(value 'v[0][-1]["seq"]')" -ge "$1" ]
}
seq=$(at n1 -o json -e 'logs witness n=1' | value 'v[0][-1]["seq"]' /dev/stdin)
eventually 30 flowing $((seq + 20))
run -e 'call counter inc' -e 'logs flood1 n=5' -e 'child flood1' -e 'logs long n=2'
json 'len(v[1]) == 5 and all(r["text"].startswith("flood") for r in v[1]) and v[2]["log_dropped"] > 0'
json 'v[3] and all(r["partial"] and len(r["text"]) < 70000 for r in v[3])'
at_most $(($(rss_kib "${node_pid[n1]}") - before)) 40000 KiB "memory of the node grown by five floods"
run -e 'stop flood* long'
json 'v[0]["changed"] == 5'
report "stop of five floods: $took ms"

rule "one that ignores SIGTERM is killed after its shutdown time, with its tree"
run -e "start deaf shutdown=400ms -- $sh -c 'trap \"\" TERM INT HUP; while :; do $s 100003; done'"
run -e 'stop deaf' -e 'events where type = child_killed'
json 'v[0]["changed"] == 1 and [e["id"] for e in v[1]] == ["deaf"]'
[ "$took" -ge 380 ] || fail "after $took ms"
report "killed after $took ms (shutdown=400ms)"
eventually 5 runs sleeper 0

rule "one that stops itself (SIGSTOP) is ended, too"
run -e "start frozen shutdown=300ms -- $sh -c 'kill -STOP \$\$; exec $s 100004'" -e 'stop frozen'
json 'v[1]["changed"] == 1'

rule "one that daemonises is over when its main process is; nothing of it stays"
run -e "start daemon restart=temporary -- $sh -c '(setsid $s 100005 </dev/null >/dev/null 2>&1 &) ; exit 0'" \
    -e 'wait count(daemon) = 0 timeout=10s'
eventually 10 runs sleeper 0
run -e "start daemons max_restarts=3 max_seconds=60s backoff=10ms -- $sh -c '(setsid env -i $s 100006 &) ; exit 1'" \
    -e 'wait child daemons state = failed timeout=20s' -e 'stop daemons'
eventually 10 runs sleeper 0

rule "one that forks and forks: a stop gets all of it"
cat >"$dir/forks" <<END
i=0
while [ \$i -lt 150 ]; do
    (setsid $sh -c 'trap "" TERM; $s 100007 & $s 100008 & wait' &)
    i=\$((i + 1))
done
exec $s 100009
END
run -e "start bomb shutdown=300ms -- $sh $dir/forks"
forked()
{
    [ "$(program_count sleeper)" -ge 300 ]
}
eventually 30 forked
run -e 'stop bomb'
eventually 10 runs sleeper 0

rule "a crash loop of many children is bounded by back-off and given up with a reason"
n=$(scaled 100)
run -e "start loop-[1..$n] max_restarts=3 backoff=10ms backoff_max=50ms wait=no -- $sh -c 'kill -SEGV \$\$'" \
    -e "wait count(where id =~ '^loop-' and state = failed) = $n timeout=60s" -e 'children loop-*' -e 'stop loop-*'
json 'all(c["restarts"] == 3 for c in v[2])'
run -e 'history loop-7'
json '"SIGSEGV" in v[0][-2]["text"] or "SIGSEGV" in json.dumps(v[0])'

rule "what a child writes never reaches a terminal as it is"
run -e "start rude -- $sh -c 'printf \"\\\\033]0;owned\\\\007\\\\033[2J\\\\n\\\\377\\\\376 bytes\\\\n\"; exec $s 100010'"
rude()
{
    at n1 -o json -e 'logs rude' >"$dir/out"
    [ "$(value 'len(v[0])')" -ge 2 ]
}
eventually 10 rude
for form in table wide tsv json jsonl; do
    at n1 -o $form -e 'logs rude' -e 'stop nobody' >"$dir/out" || true
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$dir/out" || fail "control bytes in the form $form"
    "$python" -c 'import sys; open(sys.argv[1], encoding="utf-8").read()' "$dir/out"
done
run -e 'stop rude'

# ---- Modules ----

rule "what is no module is refused with the reason, and the node goes on"
module()
{
    cc -shared -fPIC -I "$PH_SOURCE_DIR" -o "$dir/modules/$1.so" -x c - 2>"$dir/cc.err"
}
head_of()
{
    cat <<'END'
#include "engine/prochub.h"
static int init(struct ph_context *c, const char *a, void **s) { (void)c; (void)a; *s = 0; return 0; }
static int handle(struct ph_context *c, void *s, const struct ph_message *m)
{ (void)s; (void)m; ph_replyf(c, "fine"); return 0; }
extern const struct ph_module prochub_module;
END
}
{
    head_of
    echo 'const struct ph_module prochub_module = {PH_MODULE_ABI, sizeof(struct ph_module), "good", "", init, handle};'
} | module good
{
    head_of
    echo 'const struct ph_module prochub_module = {999, sizeof(struct ph_module), "abi", "", init, handle};'
} | module abi
{
    head_of
    echo 'const struct ph_module prochub_module = {PH_MODULE_ABI, 8, "size", "", init, handle};'
} | module size
{
    head_of
    echo 'const struct ph_module prochub_module = {PH_MODULE_ABI, sizeof(struct ph_module), "empty", "", 0, 0};'
} | module empty
{
    head_of
    echo 'const struct ph_module prochub_module = {PH_MODULE_ABI, sizeof(struct ph_module), 0, 0, init, handle};'
} | module nameless
{
    head_of
    echo 'const struct ph_module prochub_module = {PH_MODULE_ABI, sizeof(struct ph_module), "counter", "", init, handle};'
} | module counter
echo 'int prochub_module_is_not_here;' | module symbol
echo 'extern void no_such_function_anywhere(void); void f(void) { no_such_function_anywhere(); }
void __attribute__((constructor)) g(void) { f(); }' | module unresolved
echo 'this is no shared object' >"$dir/modules/text.so"
: >"$dir/modules/null.so"
head -c 1000 "$dir/modules/good.so" >"$dir/modules/cut.so"
mkdir "$dir/modules/folder.so"
mkfifo "$dir/modules/fifo.so"
for bad in abi size empty nameless counter symbol text null cut folder fifo unresolved none; do
    code=0
    at n1 -e "module load $dir/modules/$bad.so" >"$dir/out" || code=$?
    [ $code -ge 1 ] && [ $code -le 4 ] || fail "module $bad: exit code $code"
    [ "$(wc -l <"$dir/err")" = 1 ] || fail "module $bad: not one line"
    grep -q "$bad" "$dir/err" || fail "module $bad: the message does not name it"
done
exits 4 at n1 -e "module load $dir/modules/abi.so"
says 999
exits 4 at n1 -e "module load $dir/modules/counter.so"
exits 3 at n1 -e "module load $dir/modules/none.so"
exits 3 at n1 -e "start x module=none"
for bad in abi symbol text; do
    code=0
    at n1 -e "start x module=$bad" >"$dir/out" || code=$?
    [ $code -ge 1 ] && [ $code -le 4 ] || fail "start module=$bad: exit code $code"
done
exits 2 at n1 -e "start x module=../modules/good"
run -e 'count x' -e 'start g module=good' -e 'call g hi' -e 'modules' -e 'stop g'
json 'v[0]["count"] == 0 and v[2]["reply"] == "fine" and "good" in [m["name"] for m in v[3]]'

rule "handlers that fail, or fail to start, are answered and supervised"
run -e 'start c module=crash' -e 'send c crash' -e 'wait child c restarts = 1 timeout=10s' -e 'child c'
json 'v[3]["state"] == "running" and v[3]["last_exit"]'
exits 1 at n1 -e 'call c crash'
exits 5 at n1 -e 'call c block 2s timeout=100ms'
run -e 'stop c'
exits 1 at n1 -e 'start b module=blob args=nonsense'
says nonsense

rule "the witness never noticed: no restart, no gap"
run -e 'child witness' -e 'call counter get' -e 'events where type = child_exited and id = witness'
json 'v[0]["restarts"] == 0 and v[0]["state"] == "running" and v[1]["reply"] == "1" and v[2] == []'
node_end n1
eventually 10 nothing_runs
