#!/usr/bin/env bash
# tidy.sh [BUILD_DIR]: holds the tree against the rules of docs/style.md that a machine can see. Prints
# `file:line: reason` for every fault and exits 1 if there is one. With a build directory it looks for
# mutable globals in the static libraries there, too.
set -euo pipefail

build=${1:+$(readlink -f "$1")}
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

for tool in awk clang-format find grep objdump; do
    command -v "$tool" >/dev/null || { echo "tidy.sh: needs $tool (script/bootstrap)"; exit 1; }
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

rooms=()
for room in engine ipc tui bench tests; do
    [ ! -d "$room" ] || rooms+=("$room")
done
find "${rooms[@]}" -name '*.[ch]' | sort >"$scratch/sources"
mapfile -t sources <"$scratch/sources"

# Every file of the tree, without what is built.
list_files()
{
    { [ -e .git ] && git ls-files -co --exclude-standard 2>/dev/null; } ||
        find . -path ./.git -prune -o -path './build*' -prune -o -type f -printf '%P\n'
}

# $scratch/code/FILE: FILE with its comments and literals blanked, line by line.
blank_comments()
{
    local file
    for file in "${sources[@]}"; do
        mkdir -p "$scratch/code/${file%/*}"
    done
    awk -v out="$scratch/code/" '
    FNR == 1 { if (file) close(file); file = out FILENAME; comment = 0; printf "" >file }
    {
        rest = $0
        code = ""
        while (rest != "") {
            if (comment) {
                end = index(rest, "*/")
                if (!end)
                    break
                rest = substr(rest, end + 2)
                comment = 0
            } else if (match(rest, /\/\*|\/\/|"|\047/)) {
                code = code substr(rest, 1, RSTART - 1)
                token = substr(rest, RSTART, RLENGTH)
                rest = substr(rest, RSTART + RLENGTH)
                if (token == "/*") {
                    comment = 1
                } else if (token == "//") {
                    break
                } else {
                    while (rest != "" && substr(rest, 1, 1) != token)
                        rest = substr(rest, substr(rest, 1, 1) == "\\" ? 3 : 2)
                    rest = substr(rest, 2)
                    code = code token token
                }
            } else {
                code = code rest
                break
            }
        }
        print code >file
    }' "${sources[@]}"
}

# grep_code REGEX REASON [FILTER]: a fault wherever REGEX (Perl) is found in the code of the sources
# whose path matches FILTER (Perl, default: all).
grep_code()
{
    local filter=${3:-.} files
    mapfile -t files < <(grep -P "$filter" "$scratch/sources")
    [ ${#files[@]} -gt 0 ] || return 0
    (cd "$scratch/code" && grep -nHP "$1" "${files[@]}") |
        sed -E "s|^([^:]*:[0-9]+):.*|\1: $2|" || true
}

# The top level is fixed: what else is there got in by mistake.
check_folders()
{
    list_files | grep -P '^(?!(bench|docs|engine|ipc|script|tests|tui|\..*)/)[^/]+/' |
        sed 's|$|:1: folder: the tree has no such folder|' || true
}

# Who may include whom.
check_layers()
{
    grep -nHP '^\s*#\s*include' "${sources[@]}" | sed -E 's/^([^:]*):([0-9]+):[^<"]*/\1 \2 /' | awk '
    BEGIN {
        split("ctype dlfcn endian errno float inttypes iso646 limits locale math pthread sched " \
              "semaphore setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio " \
              "stdlib stdnoreturn string strings time uchar unistd wchar wctype", names, " ")
        for (i in names)
            libc["<" names[i] ".h>"]
        split("arpa/inet dirent elf fcntl link netdb netinet/in netinet/tcp poll pty spawn sys/epoll " \
              "sys/eventfd sys/file sys/inotify sys/ioctl sys/pidfd sys/poll sys/prctl " \
              "sys/select sys/sendfile sys/signalfd sys/socket sys/stat sys/timerfd sys/uio " \
              "sys/un sys/vfs sys/statvfs sys/wait termios ftw glob grp pwd linux/limits " \
              "linux/openat2 sys/statfs", names, " ")
        for (i in names)
            files["<" names[i] ".h>"]
        may["engine"] = "^\"engine/"
        may["ipc"] = "^\"(engine|ipc)/"
        may["tui"] = "^\"(engine|ipc|tui|bench)/"
        may["bench"] = "^\"(engine|ipc|bench)/"
        may["tests"] = "^\"(engine|ipc|tui|bench|tests)/"
    }
    function fault(reason) { printf "%s:%s: %s\n", $1, $2, reason }
    {
        layer = $1
        sub(/\/.*/, "", layer)
        header = $3
        if (header ~ /^"/ && header !~ may[layer])
            fault("layer: " layer " may not include " header " (paths start at the root)")
        if (layer == "engine" && header ~ /^</) {
            if (header in files) {
                if ($1 !~ /^engine\/kind\//)
                    fault("layer: sockets and files only under engine/kind/: " header)
            } else if (!(header in libc) && \
                     header !~ /^<((linux|sys|asm|sanitizer|urcu)\/|urcu\.h|xxhash\.h)/)
                fault("layer: engine knows libc, pthread, liburcu, xxhash; not " header)
        }
        if (header ~ /^<urcu/ && layer ~ /^(ipc|tui)$/)
            fault("layer: liburcu only in engine/")
        if (header ~ /^<(n?cursesw?|ncursesw?\/.*|term|panel|form|menu)\.?h?/ && \
            header ~ /curses|<term\.h|<panel|<form\.h|<menu/ && $1 != "tui/term.c")
            fault("layer: ncurses only in tui/term.c")
        if (header ~ /^<c?zmq/ && layer ~ /^(engine|tui)$/)
            fault("layer: ZeroMQ only in ipc/")
        if (header == "<assert.h>" && layer != "tests")
            fault("banned: <assert.h> is off in release builds; use ph_assert")
        if (header == "<cmocka.h>" && layer != "tests")
            fault("layer: cmocka only in tests/")
    }'
}

check_own_header_first()
{
    local file line first
    for file in "${sources[@]}"; do
        [[ $file == *.c && -e ${file%.c}.h ]] || continue
        first=$(grep -nm1 '^#include' "$file" || echo '1:nothing')
        line=${first%%:*}
        [ "${first#*:}" = "#include \"${file%.c}.h\"" ] ||
            echo "$file:$line: order: the own header comes first"
    done
}

check_lengths()
{
    local file lines limit
    while read -r lines file; do
        case $file in
        engine/prochub.h) limit=600 ;;
        *.h) limit=200 ;;
        *) limit=800 ;;
        esac
        [ "$lines" -le "$limit" ] || echo "$file:$limit: length: $lines lines, at most $limit; split it"
    done < <(wc -l "${sources[@]}" | grep -v ' total$')

    (cd "$scratch/code" && awk '
    /^[A-Za-z_].*\(/ { name = $0; at = FNR }
    /^\{/ { start = FNR }
    /^\}/ {
        if (start && FNR - start > 70)
            printf "%s:%d: length: a function of %d lines, at most 70\n", FILENAME, at, FNR - start
        start = 0
    }' "${sources[@]}")
}

check_banned_calls()
{
    grep_code '(?<![\w.>])(s?rand|rand_r|time)\s*\(' \
        'banned: time and randomness are passed in (ph_now_ms, struct ph_prng)'
    grep_code '(?<![\w.>])(strcpy|strcat|v?sprintf|gets|strtok|alloca)\s*\(' \
        'banned: an unbounded or unchecked call; use struct ph_text, snprintf, memcpy'
    grep_code '(?<![\w.>])(localtime|gmtime|ctime|asctime|system)\s*\(' \
        'banned: not safe with threads'
    grep_code '(?<![\w.>])v?fork\s*\(' \
        'banned: only prochub-keeper makes processes (posix_spawn elsewhere)' \
        '^(engine/(?!kind/)|ipc/|tui/)'
    grep_code '(?<![\w.>])u?sleep\s*\(' 'banned: wait for a condition with a deadline' \
        '^(?!tests/lib/)'
    grep_code '(?<![\w.>])skip\s*\(\s*\)' 'banned: no test skips; a missing tool fails it' '^tests/'
    grep_code '(?<![\w.>])(clock_)?nanosleep\s*\(' \
        'banned: a test waits for a condition with a deadline (tests/lib)' '^tests/(?!lib/)'
    [ ! -d tests ] || grep -rnHP --include='*.sh' --exclude-dir={lib,tools} \
        '(^|[;&|(]|\bdo|\bthen|\belse)\s*sleep\s' tests |
        sed -E 's|^([^:]*:[0-9]+):.*|\1: banned: wait for a condition with a deadline (tests/lib)|' ||
        true
    [ ! -d tests ] || grep -rnHP --include='*.py' --exclude-dir=lib '\btime\.sleep\s*\(' tests |
        sed -E 's|^([^:]*:[0-9]+):.*|\1: banned: wait for a condition with a deadline (tests/lib)|' ||
        true
}

# Words of unfinished work, reasonless exceptions, and paths that exist on one machine only.
check_words()
{
    local words='TO[D]O|FIX[M]E|XX[X]|HAC[K]|not[ ]implemented|unimp[l]emented|place[h]older'
    words="\\b($words|for[ ]now|stu[b]s?)\\b"
    list_files | grep -E '^(engine|ipc|tui|bench|tests|script|\.ci)/|CMakeLists.txt$' |
        xargs -r -d '\n' grep -nHIoP "$words" |
        sed -E 's|^([^:]*:[0-9]+):(.*)|\1: words: "\2" marks unfinished work|' || true
    list_files | xargs -r -d '\n' grep -nHIoP '/(wor[k]|roo[t]|hom[e])/\w+' |
        sed -E 's|^([^:]*:[0-9]+):(.*)|\1: words: "\2" is a path of one machine|' || true
    grep -nHP 'NOLI[N]T(?!END)(?!(NEXTLINE|BEGIN)?\([\w,-]+\): \w)' "${sources[@]}" |
        sed -E 's|^([^:]*:[0-9]+):.*|\1: words: an exception names its check and reason|' || true
}

check_format()
{
    clang-format --dry-run -Werror --style=file "${sources[@]}" 2>&1 |
        sed -nE 's|^([^:]+:[0-9]+):[0-9]+: error: .*|\1: format: clang-format differs (target `format`)|p' |
        awk -F: '!seen[$1]++' || true
}

# Tests are sentences with the rule they prove above them.
check_test_names()
{
    local files
    mapfile -t files < <(grep -P '^tests/\w+/test_\w+\.c$' "$scratch/sources")
    [ ${#files[@]} -gt 0 ] || return 0
    awk '
    /^static void [A-Za-z0-9_]+\(void \*\*[a-z]+\)/ {
        name = $3
        sub(/\(.*/, "", name)
        if (name !~ /^[a-z][a-z0-9]*_[a-z0-9]+_[a-z0-9_]+$/ || name ~ /^test_/)
            printf "%s:%d: test: \"%s\" is not a sentence_like_this\n", FILENAME, FNR, name
        if (before !~ /\*\/$/)
            printf "%s:%d: test: no comment above it that gives the rule\n", FILENAME, FNR
    }
    { before = $0 }' "${files[@]}"
}

# Each test runs.
check_test_list()
{
    [ -d tests ] || return 0
    local file kind name
    while read -r file; do
        kind=${file#tests/} && kind=${kind%%/*}
        name=${file##*/test_} && name=${name%.*}
        if [[ $file == *.c ]]; then
            grep -qP "^\s*ph_test\(\s*$kind\s+$name\b" tests/CMakeLists.txt ||
                echo "$file:1: test: not in tests/CMakeLists.txt: ph_test($kind $name ...)"
        else
            grep -qP "/${file##*/}|^\s*ph_(e2e|accept)\(${name#accept_}\b" tests/CMakeLists.txt ||
                echo "$file:1: test: not in tests/CMakeLists.txt: ph_test_command($kind $name ...)"
        fi
    done < <(find tests -mindepth 2 -maxdepth 2 -name 'test_*.c' -o -name 'test_*.sh' | sort)
}

# Objects in writable sections of our static libraries, but for those on the allow-list.
check_globals()
{
    [ -n "$build" ] || return 0
    local libraries member symbol section source place
    mapfile -t libraries < <(find "$build" -name 'libph_*.a' | sort)
    if [ ${#libraries[@]} = 0 ]; then
        echo "CMakeLists.txt:1: globals: no libph_*.a in the build directory; build first"
        return 0
    fi
    objdump -t "${libraries[@]}" | awk '
    /file format/ { member = $1; sub(/:$/, "", member); sub(/\.o$/, "", member) }
    {
        if (match($0, /[ \t](\.t?data|\.t?bss|\*COM\*)[^ \t]*\t/)) {
            section = substr($0, RSTART + 1, RLENGTH - 2)
            symbol = $NF
            if (section ~ /^\.data\.rel\.ro/ || symbol == section || symbol ~ /^\./)
                next
            sub(/\.[0-9]+$/, "", symbol)
            print member, symbol, section
        }
    }' | sort -u | while read -r member symbol section; do
        grep -qE "^$member $symbol [^ ]" tests/tools/globals.allow && continue
        source=$(grep -E "(^|/)$member\$" "$scratch/sources" | head -n 1)
        place=$(grep -nwm1 -- "$symbol" "${source:-/dev/null}" | cut -d: -f1)
        echo "${source:-$member}:${place:-1}: globals: mutable \"$symbol\" in $section"
    done || true
}

blank_comments
for check in folders layers own_header_first lengths banned_calls words format test_names test_list globals; do
    "check_$check" || echo "tests/tools/tidy.sh:1: broken: check_$check ended with $?"
done >"$scratch/faults"

sort -u "$scratch/faults" | sort -t: -s -k1,1 -k2,2n
[ ! -s "$scratch/faults" ]
