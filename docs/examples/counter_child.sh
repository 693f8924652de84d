#!/bin/sh
# A counter in a POSIX shell: takes messages, and moves with its count.
#   prochub -e 'start c socket=yes -- sh docs/examples/counter_child.sh' -e 'send c inc 5' -e 'call c get'
# The protocol is in docs/processes.md. A text with escapes is read with: text=$(printf '%b' "$text")
count=0
state=

eval "exec <&$PROCHUB_SOCKET >&$PROCHUB_SOCKET"
while read -r verb text; do
    answer=ok
    case "$verb $text" in
    role*) ;;
    state*)
        state=$state$text
        continue
        ;;
    "load "* | "merge "*)
        case $state in
        '' | *[!0-9-]*) answer='error that is no count' ;;
        *) [ "$verb" = merge ] && count=$((count + state)) || count=$state ;;
        esac
        state=
        ;;
    "save "*)
        echo "state $count"
        ;;
    "call get") answer="ok $count" ;;
    "cast inc" | "call inc") count=$((count + 1)) ;;
    "cast inc "*[!0-9-]* | "call inc "*[!0-9-]*) answer='error use: inc [N]' ;;
    "cast inc "* | "call inc "*) count=$((count + ${text#inc })) ;;
    *) answer='error use: inc [N], get' ;;
    esac
    case "$verb $answer" in
    "call ok") answer="ok $count" ;;
    esac
    echo "$answer"
done
