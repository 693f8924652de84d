#include "bench/measure.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/error.h"

/* What a measuring process sends back; smaller than PIPE_BUF, so one write. */
struct answer {
    int code;
    double values[PH_BENCH_FIGURES_MAX];
    struct ph_error error;
};

/* The values of all rounds of one figure. */
struct series {
    double ours[PH_BENCH_ROUNDS_MAX], ceiling[PH_BENCH_ROUNDS_MAX], ratio[PH_BENCH_ROUNDS_MAX];
};

/* mallctl(3) of jemalloc; NULL in programs that are linked without it. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

pid_t ph_bench_fork(void)
{
    bool on = true;
    pid_t pid = fork();
    if (pid == 0 && mallctl && mallctl("background_thread", NULL, NULL, &on, sizeof on))
        fprintf(stderr, "prochub bench: memory is given back by those who free it\n");
    return pid;
}

static _Noreturn void answer_and_exit(ph_bench_fn fn, const struct ph_bench_setup *setup, int fd)
{
    struct answer answer = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer.code = fn(setup, answer.values, &answer.error);
    ssize_t written = write(fd, &answer, sizeof answer);
    _exit(written == (ssize_t)sizeof answer ? 0 : 1);
}

static void read_answer(int fd, pid_t pid, struct answer *answer)
{
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, (char *)answer + length, sizeof *answer - length)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        length += (size_t)got;
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (length == sizeof *answer && status == 0)
        return;
    answer->code = PH_EFAILED;
    if (WIFSIGNALED(status))
        ph_error_set(&answer->error, PH_EFAILED, "the measuring process died of signal %d",
                     WTERMSIG(status));
    else
        ph_error_set(&answer->error, PH_EFAILED, "the measuring process ended with code %d",
                     WEXITSTATUS(status));
}

static int run_apart(ph_bench_fn fn, const struct ph_bench_setup *setup, double *values,
                     struct ph_error *error)
{
    int fds[2];
    struct answer answer = {0};
    if (pipe(fds))
        return ph_error_set(error, -errno, "cannot make a pipe: %s", ph_error_text(-errno));
    fflush(NULL); /* what is buffered must not be written twice */
    pid_t pid = ph_bench_fork();
    if (pid == 0) {
        close(fds[0]);
        answer_and_exit(fn, setup, fds[1]);
    }
    int code = -errno;
    close(fds[1]);
    if (pid > 0)
        read_answer(fds[0], pid, &answer);
    close(fds[0]);
    if (pid < 0)
        return ph_error_set(error, code, "cannot make a process: %s", ph_error_text(code));
    memcpy(values, answer.values, sizeof answer.values);
    if (answer.code)
        *error = answer.error;
    return answer.code;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts. */
static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    unsigned middle = count / 2;
    return count % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

static void sum_up(struct series *series, unsigned rounds, struct ph_bench_result *result)
{
    result->value = median(series->ours, rounds);
    result->min = series->ours[0];
    result->max = series->ours[rounds - 1];
    result->ceiling = median(series->ceiling, rounds);
    result->ceiling_min = series->ceiling[0];
    result->ceiling_max = series->ceiling[rounds - 1];
    result->ratio = median(series->ratio, rounds);
}

static double part_of(double ours, double ceiling, bool cost)
{
    double whole = cost ? ours : ceiling;
    return whole > 0 ? (cost ? ceiling : ours) / whole : 0;
}

int ph_bench_measure(const struct ph_bench_case *which, const struct ph_bench_setup *setup,
                     unsigned rounds, struct ph_bench_result *results, struct ph_error *error)
{
    struct series series[PH_BENCH_FIGURES_MAX];
    for (unsigned round = 0; round < rounds; round++) {
        double ours[PH_BENCH_FIGURES_MAX], ceiling[PH_BENCH_FIGURES_MAX];
        int rc = run_apart(which->ours, setup, ours, error);
        if (rc == 0)
            rc = run_apart(which->ceiling, setup, ceiling, error);
        if (rc)
            return rc;
        for (size_t i = 0; i < PH_BENCH_FIGURES_MAX; i++) {
            series[i].ours[round] = ours[i];
            series[i].ceiling[round] = ceiling[i];
            series[i].ratio[round] = part_of(ours[i], ceiling[i], which->figures[i].cost);
        }
    }
    for (size_t i = 0; i < PH_BENCH_FIGURES_MAX && which->figures[i].name; i++)
        sum_up(&series[i], rounds, &results[i]);
    return 0;
}
