# e2e.sh: what the end-to-end tests share. Each test sources it, and gets a directory and a runtime
# directory of its own; everything that it starts through `node` and `background` is ended by its pid.
#
# Programs come from PH_BUILD_DIR. A test waits only for conditions, with a deadline (`eventually`).
set -uo pipefail

PROCHUB=$PH_BUILD_DIR/prochub
DIR=$(mktemp -d "${TMPDIR:-/tmp}/ph-e2e.XXXXXX")
export XDG_RUNTIME_DIR=$DIR
export HOME=$DIR
SOON=${PH_SOON:-20} # seconds that a condition may take
PIDS=()
mkfifo "$DIR/tick"
exec {TICK}<>"$DIR/tick"
rm "$DIR/tick"

fail()
{
    echo "FAIL: ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]:-0}: $*" >&2
    for log in "$DIR"/*.log; do
        [ ! -s "$log" ] || { echo "--- ${log##*/}" >&2; tail -n 20 "$log" >&2; }
    done
    exit 1
}

# A hundredth of a second.
tick()
{
    read -rt 0.01 _ <&"$TICK"
    return 0
}

# eventually COMMAND...: until it succeeds.
eventually()
{
    local end=$((SECONDS + SOON))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "did not come true in $SOON s: $*"
        tick
    done
}

# Gone, or a zombie that somebody else has to reap.
is_gone()
{
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [ "${state:0:1}" = Z ]
}

finish()
{
    local status=$? pid
    trap - EXIT
    for pid in "${PIDS[@]}"; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in "${PIDS[@]}"; do
        local end=$((SECONDS + 10))
        until is_gone "$pid" || [ $SECONDS -ge $end ]; do
            tick
        done
        kill -KILL "$pid" 2>/dev/null
    done
    wait
    # A sanitizer's report of a program in the background fails the test, whatever the program did.
    if grep -qsE "ThreadSanitizer:|AddressSanitizer:|LeakSanitizer:|runtime error:" "$DIR"/*.log; then
        cat "$DIR"/*.log >&2
        status=1
    fi
    rm -rf "$DIR"
    exit $status
}
trap finish EXIT

# background LOG COMMAND...: runs it in the background; its pid is in $LAST.
background()
{
    local log=$DIR/$1
    shift
    : >"$log.out" # here, not in the child: what stood there before is nobody's word
    : >"$log.log"
    "$@" </dev/null >"$log.out" 2>"$log.log" {TICK}>&- &
    LAST=$!
    PIDS+=("$LAST")
}

# node NAME OPTIONS...: a node, ready; its pid is in $LAST.
node()
{
    local name=$1
    shift
    background "$name" "$PROCHUB" node --name "$name" "$@"
    eventually grep -q "is ready" "$DIR/$name.log"
}

# attach COMMAND...: runs the commands on the only node, tab-separated.
attach()
{
    local words=()
    for command in "$@"; do
        words+=(-e "$command")
    done
    "$PROCHUB" attach "${words[@]}"
}

# expect_code N COMMAND...: its exit code.
expect_code()
{
    local wanted=$1 got
    shift
    "$@" >"$DIR/out" 2>"$DIR/err"
    got=$?
    [ "$got" = "$wanted" ] || fail "exit code $got, not $wanted: $* [$(head -c 300 "$DIR/err")]"
}

# expect TEXT COMMAND...: its standard output, exactly.
expect()
{
    local wanted=$1 got
    shift
    got=$("$@" 2>"$DIR/err")
    [ "$got" = "$wanted" ] ||
        fail "printed '$(head -c 300 <<<"$got")', not '$wanted': $* [$(head -c 300 "$DIR/err")]"
}

# has REGEX FILE: a line that matches, or a failure.
has()
{
    grep -qE -- "$1" "$2" || fail "no '$1' in: $(head -c 500 "$2")"
}
