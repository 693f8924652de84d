/*
 * The fault proxy (fault_proxy.py) for tests in C: a TCP proxy that delays, stalls, cuts, corrupts
 * and throttles on command. A failure fails the test. Main thread.
 */
#ifndef PH_TESTS_LIB_PROXY_H
#define PH_TESTS_LIB_PROXY_H

#include <stdint.h>

struct proxy;

/* Listens on a port of its own; forwards nowhere until the command "target ADDRESS:PORT". */
struct proxy *proxy_start(void);
void proxy_stop(struct proxy *);
uint16_t proxy_port(const struct proxy *);

/* A line of fault_proxy.py, formatted; returns when it is in force. */
void proxy_command(struct proxy *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
