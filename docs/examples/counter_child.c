/* A counter as an OS process that takes messages and moves with its count:
 *   cc -I docs/examples -o counter_child docs/examples/counter_child.c
 *   prochub -e 'start c socket=yes -- ./counter_child' -e 'send c inc 5' -e 'call c get' */
#include "prochub_child.h"

static int cast(void *self, const char *text, size_t length, struct prochub_out *out)
{
    long *count = self;
    (void)length;
    if (strncmp(text, "inc", 3)) {
        prochub_say(out, "use: inc [N]");
        return 1;
    }
    *count += text[3] ? atol(text + 3) : 1;
    return 0;
}

static int save(void *self, struct prochub_out *out)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%ld", *(long *)self);
    prochub_say(out, digits);
    return 0;
}

static int call(void *self, const char *text, size_t length, struct prochub_out *out)
{
    if (!strcmp(text, "get"))
        return save(self, out);
    int failed = cast(self, text, length, out);
    return failed ? failed : save(self, out);
}

static int load(void *self, const char *state, size_t length, struct prochub_out *out)
{
    char *end;
    long count = strtol(state, &end, 10);
    if (!length || *end) {
        prochub_say(out, "that is no count");
        return 1;
    }
    *(long *)self = count;
    return 0;
}

static int merge(void *self, const char *state, size_t length, struct prochub_out *out)
{
    long count = *(long *)self;
    int failed = load(self, state, length, out);
    if (!failed)
        *(long *)self += count;
    return failed;
}

int main(void)
{
    const struct prochub_child child = {
        .cast = cast, .call = call, .save = save, .load = load, .merge = merge};
    long count = 0;
    return prochub_child_run(&child, &count) ? 1 : 0;
}
