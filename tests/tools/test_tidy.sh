#!/usr/bin/env bash
# Plants one violation of each rule in a small tree and demands that tidy.sh (or clang_tidy.sh) fails
# and names it. The trees are made in a directory that goes with the test.
set -euo pipefail

tools=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(readlink -f "$tools/../..")
passed=0
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# ./good: a tree without a fault.
make_good_tree()
{
    mkdir -p good/engine/kind good/ipc good/tui good/tests/unit good/tests/lib good/tests/tools
    cp "$root/.clang-format" "$root/.clang-tidy" good
    cp "$tools"/{tidy.sh,clang_tidy.sh,globals.allow} good/tests/tools
    cat >good/engine/gauge.h <<'END'
#ifndef PH_ENGINE_GAUGE_H
#define PH_ENGINE_GAUGE_H

int ph_gauge_read(int scale);

#endif
END
    cat >good/engine/gauge.c <<'END'
#include "engine/gauge.h"

#include <stdint.h>

/* Says sleep(1), rand() and "strcpy(a, b)" in a comment, which is nobody's fault. */
static const char *const names[] = {"rand()", "time(NULL)"};

int ph_gauge_read(int scale)
{
    return scale * (int)sizeof names;
}
END
    cat >good/tests/unit/test_gauge.c <<'END'
#include <stdarg.h>
#include <stddef.h>

/* A gauge of scale 0 shows nothing. */
static void scale_of_zero_shows_nothing(void **state)
{
    (void)state;
}
END
    echo 'ph_test(unit gauge ph_engine)' >good/tests/CMakeLists.txt
}

# Archives the sources of tree $1 that compile by themselves.
build_tree()
{
    rm -rf "$1/build"
    mkdir -p "$1/build"
    (
        cd "$1"
        for file in engine/{gauge,rcu}.c; do
            [ ! -e "$file" ] || gcc -O1 -fPIE -I. -c "$file" -o "build/${file##*/}.o"
        done
        ar qc build/libph_engine.a build/*.o
    )
}

# Tells clang-tidy of the engine's sources in tree $1, as CMake would.
list_commands()
{
    local file entries=()
    for file in "$PWD/$1"/engine/*.c; do
        entries+=("{\"directory\": \"$PWD/$1\", \"command\": \"gcc -I$PWD/$1 -c $file\",
\"file\": \"$file\"}")
    done
    (IFS=, && echo "[${entries[*]}]") >"$1/build/compile_commands.json"
}

# expect NAME TREE CHECKER FAULT: CHECKER on TREE fails with a line that starts with FAULT ("": passes).
expect()
{
    local rc=0
    (cd "$2" && "tests/tools/$3" build) >"$2.out" 2>&1 || rc=$?
    if { [ -z "$4" ] && [ "$rc" = 0 ] && [ ! -s "$2.out" ]; } ||
        { [ -n "$4" ] && [ "$rc" != 0 ] && grep -qF -- "$4" "$2.out"; }; then
        passed=$((passed + 1))
        rm -rf "$2" "$2.out"
    else
        failed=$((failed + 1))
        echo "FAILED: $1: exit $rc, wanted \"$4\", got:"
        sed 's/^/    /' "$2.out"
    fi
}

# plant NAME FILE FAULT [CHECKER]: appends stdin to FILE of a fresh tree; the checker must find FAULT.
plant()
{
    local tree="planted-$((passed + failed))"
    cp -r good "$tree"
    mkdir -p "$tree/$(dirname "$2")"
    cat >>"$tree/$2"
    case $2 in
    engine/gauge.c | engine/rcu.c) build_tree "$tree" ;;
    esac
    list_commands "$tree"
    expect "$1" "$tree" "${4:-tidy.sh}" "$3"
}

lines() # lines N TEXT: TEXT, N times
{
    awk -v count="$1" -v text="$2" 'BEGIN { while (count--) print text }'
}

plant_layers()
{
    plant 'a folder that is none of the tree' stray/x.txt 'stray/x.txt:1: folder:' <<<'x'
    plant 'engine includes ipc' engine/up.c 'engine/up.c:1: layer:' <<<'#include "ipc/row.h"'
    plant 'ipc includes tui' ipc/up.c 'ipc/up.c:1: layer:' <<<'#include "tui/app.h"'
    plant 'include without its room' ipc/up.c 'ipc/up.c:1: layer:' <<<'#include "row.h"'
    plant 'engine knows zmq' engine/kind/x.c 'engine/kind/x.c:1: layer:' <<<'#include <zmq.h>'
    plant 'engine knows ncurses' engine/kind/x.c 'engine/kind/x.c:1: layer:' <<<'#include <ncurses.h>'
    plant 'engine knows a stranger' engine/kind/x.c 'engine/kind/x.c:1: layer:' <<<'#include <jansson.h>'
    plant 'socket in the engine' engine/kind.h 'engine/kind.h:1: layer:' <<<'#include <sys/socket.h>'
    plant 'file in the engine' engine/kind.h 'engine/kind.h:1: layer:' <<<'#include <fcntl.h>'
    plant 'socket under engine/kind' engine/kind/x.c '' <<<'#include <sys/un.h>'
    plant 'second file with ncurses' tui/view.c 'tui/view.c:1: layer:' <<<'#include <ncurses.h>'
    plant 'ncurses in term.c' tui/term.c '' <<<'#include <ncurses.h>'
    plant 'liburcu in ipc' ipc/x.c 'ipc/x.c:1: layer:' <<<'#include <urcu.h>'
    plant 'libc assert' ipc/x.c 'ipc/x.c:1: banned:' <<<'#include <assert.h>'
    echo '#pragma once' >good/tui/app.h
    plant 'own header not first' tui/app.c 'tui/app.c:1: order:' <<<'#include <stdint.h>'
    rm -f good/tui/app.h
}

plant_globals()
{
    plant 'static counter' engine/gauge.c 'engine/gauge.c:12: globals: mutable "counter" in .bss' <<'END'
static int counter;

int ph_gauge_next(void)
{
    return ++counter;
}
END
    plant 'counter in a function' engine/gauge.c 'globals: mutable "shown" in .data' <<'END'
int ph_gauge_next(void)
{
    static int shown = 7;
    return ++shown;
}
END
    plant 'thread-local' engine/gauge.c 'globals: mutable "depth" in .tbss' <<'END'
_Thread_local int depth;
END
    plant 'table that lacks a const' engine/gauge.c 'globals: mutable "words" in .data' <<'END'
const char *words[] = {"one", "two"};
END
    plant 'const table' engine/gauge.c '' <<'END'
const char *const words[] = {"one", "two"};
END
    plant 'object on the allow-list' engine/rcu.c '' <<'END'
_Thread_local int thread_joined;
END
}

plant_sizes()
{
    plant 'function of 71 lines' engine/long.c 'engine/long.c:1: length: a function' < <(
        printf 'void x(void)\n{\n'
        lines 70 '    ;'
        echo '}'
    )
    plant 'function of 70 lines' engine/long.c '' < <(
        printf 'void x(void)\n{\n'
        lines 69 '    ;'
        echo '}'
    )
    plant 'file of 801 lines' ipc/long.c 'ipc/long.c:800: length:' < <(lines 801 'extern int x;')
    plant 'header of 201 lines' ipc/long.h 'ipc/long.h:200: length:' < <(lines 201 'extern int x;')
    plant 'public header of 601 lines' engine/prochub.h 'engine/prochub.h:600: length:' < <(
        lines 601 'extern int x;'
    )
    plant 'public header of 600 lines' engine/prochub.h '' < <(lines 600 'extern int x;')
}

plant_calls()
{
    local call
    for call in 'rand()' 'time(NULL)' 'strcpy(a, b)' 'strcat(a, b)' 'sprintf(a, b)' 'gets(a)' \
        'strtok(a, b)' 'localtime(a)' 'fork()' 'sleep(1)' 'usleep(1)'; do
        plant "call of $call" ipc/x.c 'ipc/x.c:1: banned:' <<<"int x = $call;"
    done
    plant 'a test that skips' tests/unit/x.c 'tests/unit/x.c:1: banned:' <<<'int x = skip();'
    plant 'nanosleep in a test' tests/unit/x.c 'tests/unit/x.c:1: banned:' <<<'int x = nanosleep(a, b);'
    plant 'nanosleep in the test library' tests/lib/x.c '' <<<'int x = nanosleep(a, b);'
    plant 'member named time' ipc/x.c '' <<<'int x = y->time(z);'
    plant 'sleep in a script' tests/e2e/x.sh 'tests/e2e/x.sh:1: banned:' <<<'start && sleep 1'
    plant 'sleep as a child' tests/e2e/x.sh '' <<<'echo start x -- sleep 1000'
    plant 'sleep in Python' tests/e2e/x.py 'tests/e2e/x.py:1: banned:' <<<'time.sleep(1)'
}

plant_words()
{
    local word
    for word in TO''DO FIX''ME XX''X HA''CK 'not imple''mented' 'place''holder' 'for n''ow' st''ub; do
        plant "word $word" ipc/x.c 'ipc/x.c:1: words:' <<<"/* $word */"
    done
    plant 'template of mkdtemp' ipc/x.c '' <<<'/* /tmp/x.XXXXXX */'
    plant 'path of a machine' docs/x.md 'docs/x.md:1: words:' <<<'See /hom''e/somebody/notes.'
    plant 'exception without a reason' ipc/x.c 'ipc/x.c:1: words:' <<<'int x; /* NOLI''NT */'
    plant 'exception with a reason' ipc/x.c '' <<<'int x; /* NOLI''NT(bugprone-x): a table */'
    plant 'format' ipc/x.c 'ipc/x.c:1: format:' <<<'int  x;'
}

plant_tests()
{
    plant 'name that is no sentence' tests/unit/test_gauge.c 'tests/unit/test_gauge.c:11: test:' <<'END'

/* A rule. */
static void test1(void **state)
{
}
END
    plant 'no rule above a test' tests/unit/test_gauge.c 'tests/unit/test_gauge.c:10: test:' <<'END'

static void gauge_shows_its_scale(void **state)
{
}
END
    plant 'test that nobody runs' tests/unit/test_lost.c 'tests/unit/test_lost.c:1: test:' <<<'int x;'
    plant 'script that nobody runs' tests/e2e/test_lost.sh 'tests/e2e/test_lost.sh:1: test:' <<<'true'
}

plant_clang_tidy()
{
    plant 'good tree' engine/gauge.c '' clang_tidy.sh </dev/null
    plant 'source that nobody builds' ipc/x.c 'ipc/x.c:1: build:' clang_tidy.sh <<<'extern int x;'
    plant 'function of 71 lines, seen by clang' engine/x.c '[readability-function-size' clang_tidy.sh < <(
        printf 'void x(void);\nvoid x(void)\n{\n'
        lines 70 '    x();'
        echo '}'
    )
    plant 'seven parameters' engine/x.c 'engine/x.c:1:' clang_tidy.sh <<'END'
int x(int a, int b, int c, int d, int e, int f, int g)
{
    return a + b + c + d + e + f + g;
}
END
    plant 'five levels' engine/x.c 'engine/x.c:1:' clang_tidy.sh <<'END'
int x(int a)
{
    if (a) {
        while (a > 1) {
            if (a > 2) {
                while (a > 3) {
                    if (a > 4) {
                        a--;
                    }
                }
            }
        }
    }
    return a;
}
END
    plant 'condition that guards nothing' engine/x.c 'engine/x.c:4:' clang_tidy.sh <<'END'
void x(int *values);
void x(int *values)
{
    if (!values);
        *values = 0;
}
END
}

make_good_tree
build_tree good
plant 'good tree' engine/gauge.c '' </dev/null
plant_layers
plant_globals
plant_sizes
plant_calls
plant_words
plant_tests
plant_clang_tidy

echo "$passed plants found, $failed missed"
[ "$failed" = 0 ]
