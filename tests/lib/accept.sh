# accept.sh: what the acceptance tests (tests/e2e/test_accept_*.sh) share. Source it first.
#
# A test says its rules with `rule "…"` and checks them with the functions below; the first check that
# does not hold ends the test with the rule, the line, and what the programs said. Everything lives in
# $dir and is gone afterwards: processes by their ids, files with the directory.
#
# PH_SCALE divides sizes: 1, or more under a sanitizer.
# shellcheck shell=bash
set -Eeuo pipefail

PH_SCALE=${PH_SCALE:-1}
prochub=${PH_BUILD_DIR:?is set by the build}/prochub
dir=$(mktemp -d "${TMPDIR:-/tmp}/accept.XXXXXX")
unset XDG_RUNTIME_DIR
export HOME=$dir
mkdir "$dir/bin"
python=/usr/bin/python3
[ -x "$python" ] || python=$(python3 -c 'import sys; print(sys.executable)')
ran_rule=start
declare -A node_pid=() owned=()

fail()
{
    trap - ERR
    [ ! -e "$dir/failed" ] || exit 1
    : >"$dir/failed"
    echo "FAILED: $ran_rule" >&2
    echo "  $*" >&2
    local frame
    for frame in "${!BASH_LINENO[@]}"; do
        echo "  at ${BASH_SOURCE[frame + 1]:-}:${BASH_LINENO[frame]}" >&2
    done
    for file in "$dir"/*.err "$dir"/out "$dir"/err; do
        [ -s "$file" ] || continue
        echo "--- ${file##*/} (its end)" >&2
        tail -c 3000 "$file" | cat -v >&2
    done
    if [ -n "${PH_KEEP:-}" ]; then
        echo "everything is kept as it is: $dir" >&2
        trap - EXIT
    fi
    exit 1
}
trap 'fail "a command ended with $?: $BASH_COMMAND"' ERR

# rule SENTENCE: what the next checks prove.
rule()
{
    ran_rule=$1
    printf "%3d s  %s\n" "$SECONDS" "$1"
}

report()
{
    echo "figure: $*"
}

need()
{
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "needs $tool (script/bootstrap installs it)"
    done
}

# eventually SECONDS COMMAND…: until it succeeds. The only place that waits.
eventually()
{
    local end=$((SECONDS + $1 * (PH_SCALE > 1 ? 4 : 1) + 1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || fail "did not come true: $*"
        sleep 0.02
    done
}

# scaled N: N, or less of it under a sanitizer.
scaled()
{
    echo $((($1 + PH_SCALE - 1) / PH_SCALE))
}

is_plain()
{
    [ "$PH_SCALE" = 1 ]
}

now_ms()
{
    echo $((${EPOCHREALTIME/./} / 1000))
}

# free_port: a TCP port that the kernel says is free.
free_port()
{
    "$python" -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# ---- Processes ----

alive()
{
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    [ "${stat:0:1}" != Z ]
}

gone()
{
    ! alive "$1"
}

# own PID: ended with the test.
own()
{
    owned[$1]=1
}

# program NAME FILE: a copy of FILE, so that its processes can be told from others'.
program()
{
    cp "$(readlink -f "$(command -v "$2")")" "$dir/bin/$1"
}

# program_pids [NAME]: the processes of that copy (of all).
program_pids()
{
    find /proc -mindepth 2 -maxdepth 2 -name exe -lname "$dir/bin/${1:-*}" 2>/dev/null |
        cut -d/ -f3 || true
}

program_count()
{
    program_pids "$1" | wc -l
}

runs()
{
    [ "$(program_count "$1")" = "$2" ]
}

# keeper_of PID: the prochub-keeper of a node.
keeper_of()
{
    local pid comm
    for pid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        comm=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
        [ "$comm" != prochub-keeper ] || echo "$pid"
    done
}

# cpu_ticks PID: user and system time of a process.
cpu_ticks()
{
    local stat
    stat=$(<"/proc/$1/stat")
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    echo $((${12} + ${13}))
}

rss_kib()
{
    awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

# ---- Nodes ----

# node NAME [OPTION…]: a node with a control socket, ready.
node()
{
    local name=$1
    shift
    # Emptied here: what a node of that name said before must not be taken for this one's word.
    : >"$dir/$name.out"
    : >"$dir/$name.err"
    "$prochub" node --name "$name" --control "ipc://$dir/$name.d/c.sock" "$@" \
        >"$dir/$name.out" 2>"$dir/$name.err" &
    node_pid[$name]=$!
    own $!
    eventually 20 node_is_ready "$name"
}

node_is_ready()
{
    if grep -q " is ready" "$dir/$1.out" "$dir/$1.err"; then
        return 0
    fi
    alive "${node_pid[$1]}" || fail "node $1 ended before it was ready"
    return 1
}

# at NODE ARG…: prochub attach. Output on stdout, messages in $dir/err.
at()
{
    local name=$1
    shift
    "$prochub" attach "ipc://$dir/$name.d/c.sock" "$@" 2>"$dir/err" </dev/null
}

# holds NODE EXPR…: does the condition hold now?
holds()
{
    local name=$1
    shift
    at "$name" -e "assert $*" >/dev/null
}

# node_end NODE [SIGNAL]: ends it gracefully; it must exit with 0.
node_end()
{
    local pid=${node_pid[$1]} code=0
    kill -"${2:-TERM}" "$pid"
    eventually 30 gone "$pid"
    wait "$pid" || code=$?
    [ "$code" = 0 ] || fail "node $1 ended with $code"
    unset "owned[$pid]" "node_pid[$1]"
}

# ---- Running the program ----

# exits CODE COMMAND…: runs it; output in $dir/out, messages in $dir/err, milliseconds in $took.
exits()
{
    local code=0 want=$1 start
    shift
    start=$(now_ms)
    "$@" >"$dir/out" 2>"$dir/err" || code=$?
    took=$(($(now_ms) - start))
    cat "$dir/err" >>"$dir/all.log"
    [ "$code" = "$want" ] || fail "exit code $code instead of $want: $*"
}

# script CODE [OPTION…]: an embedded node with the script on this function's stdin.
script()
{
    local want=$1
    shift
    exits "$want" "$prochub" "$@"
}

# same WANTED GOT
same()
{
    [ "$1" = "$2" ] || fail "wanted '$1', got '$2'"
}

# says TEXT [FILE]: the file (messages of the last command) has a line with that text.
says()
{
    grep -qF -- "$1" "${2:-$dir/err}" || fail "does not say '$1'"
}

# silent [FILE]: nothing was said.
silent()
{
    [ ! -s "${1:-$dir/err}" ] || fail "says something: $(head -c 300 "${1:-$dir/err}")"
}

# at_most FIGURE LIMIT UNIT WHAT: reports the figure.
at_most()
{
    report "$4: $1 $3 (at most $2)"
    [ "$1" -le "$2" ] || fail "$4: $1 $3, at most $2"
}

# value EXPR [FILE]: prints EXPR (Python) of v, the list of all JSON values in the file ($dir/out).
value()
{
    "$python" -c "$value_program" "$1" "${2:-$dir/out}"
}
value_program='
import json, re, sys
text = open(sys.argv[2], encoding="utf-8").read()
v, at, decoder, blank = [], 0, json.JSONDecoder(), re.compile(r"\s*")
while (at := blank.match(text, at).end()) < len(text):
    one, at = decoder.raw_decode(text, at)
    v.append(one)
print(eval(sys.argv[1].strip()))'

# json EXPR [FILE]: it holds.
json()
{
    [ "$(value "bool($1)" "${2:-$dir/out}")" = True ] || fail "JSON: $1: $(head -c 2000 "${2:-$dir/out}")"
}

# ---- The end ----

finish()
{
    local code=$? pid
    trap - ERR EXIT
    set +e
    for pid in "${!owned[@]}"; do
        kill -TERM "$pid" 2>/dev/null
    done
    local end=$((SECONDS + 10 + (PH_SCALE > 1 ? 20 : 0)))
    for pid in "${!owned[@]}"; do
        while alive "$pid" && [ $SECONDS -lt $end ]; do
            sleep 0.02
        done
        kill -KILL "$pid" 2>/dev/null
    done
    for pid in $(program_pids); do
        kill -KILL "$pid" 2>/dev/null
    done
    if cat "$dir"/*.err "$dir/err" "$dir/all.log" 2>/dev/null |
        grep -aE 'ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSan|runtime error:' >&2; then
        echo "FAILED: a sanitizer spoke" >&2
        cat "$dir"/*.err "$dir/err" "$dir/all.log" 2>/dev/null | grep -avE '^rule' | tail -n 150 >&2
        code=1
    fi
    rm -rf "$dir"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM
need "$python" find awk
[ -x "$prochub" ] || fail "no program at $prochub"
