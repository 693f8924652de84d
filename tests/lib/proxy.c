#include "tests/lib/proxy.h"

#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/alloc.h"

struct proxy {
    pid_t pid;
    FILE *commands, *answers;
    uint16_t port;
};

extern char **environ;

static void read_line(struct proxy *proxy, char *line, int size)
{
    if (!fgets(line, size, proxy->answers))
        fail_msg("the proxy ended");
    line[strcspn(line, "\n")] = '\0';
}

struct proxy *proxy_start(void)
{
    char path[512], line[64];
    int in[2], out[2];
    const char *tree = getenv("PH_SOURCE_DIR");
    assert_non_null(tree);
    snprintf(path, sizeof path, "%s/tests/lib/fault_proxy.py", tree);
    assert_int_equal(pipe(in) | pipe(out), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int i = 3; i < 64; i++) /* what else is open here, the ends of other proxies too */
        posix_spawn_file_actions_addclose(&actions, i);
    struct proxy *proxy = ph_alloc(sizeof *proxy);
    char *argv[] = {path, NULL};
    assert_int_equal(posix_spawn(&proxy->pid, path, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    proxy->commands = fdopen(in[1], "w");
    proxy->answers = fdopen(out[0], "r");
    read_line(proxy, line, sizeof line);
    proxy->port = (uint16_t)strtoul(line, NULL, 10);
    assert_true(proxy->port != 0);
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    fclose(proxy->commands);
    assert_int_equal(waitpid(proxy->pid, NULL, 0), proxy->pid);
    fclose(proxy->answers);
    ph_free(proxy);
}

uint16_t proxy_port(const struct proxy *proxy)
{
    return proxy->port;
}

void proxy_command(struct proxy *proxy, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vfprintf(proxy->commands, format, args);
    va_end(args);
    fputc('\n', proxy->commands);
    fflush(proxy->commands);
    read_line(proxy, line, sizeof line);
    if (strncmp(line, "ok", 2) != 0)
        fail_msg("the proxy says: %s", line);
}
