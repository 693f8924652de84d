#include <limits.h>
#include <signal.h>

#include "engine/kind/keeper.h"

void ph_keeper_leases_init(struct ph_keeper *keeper)
{
    for (uint32_t lease = 0; lease < PH_KEEPER_LEASES; lease++)
        keeper->leases[lease].until_ms = UINT64_MAX;
}

void ph_keeper_lease_set(struct ph_keeper *keeper, uint32_t lease, uint64_t until_ms)
{
    if (lease == 0 || lease >= PH_KEEPER_LEASES)
        return;
    keeper->leases[lease] = (struct ph_lease){.until_ms = until_ms};
}

bool ph_keeper_lease_is_over(const struct ph_keeper *keeper, uint32_t lease)
{
    return keeper->leases[lease].until_ms <= ph_keeper_now_ms();
}

static void hold(struct ph_keeper *keeper, struct ph_kept *kept)
{
    (void)keeper;
    kept->lease_over = true;
    kill(-kept->pid, SIGSTOP);
    kill(kept->pid, SIGSTOP);
}

static void each_under(struct ph_keeper *keeper, uint32_t lease,
                       void (*fn)(struct ph_keeper *, struct ph_kept *))
{
    for (size_t slot = 0; slot < keeper->slot_count; slot++) {
        struct ph_kept *kept = keeper->slots[slot];
        if (kept && kept->lease == lease && !kept->ending)
            fn(keeper, kept);
    }
}

/* To kill a thousand trees takes a tenth of a second; to hold them takes no time. */
static void enforce(struct ph_keeper *keeper, uint32_t lease)
{
    each_under(keeper, lease, hold);
    each_under(keeper, lease, ph_kept_kill);
}

void ph_keeper_leases_enforce(struct ph_keeper *keeper)
{
    uint64_t now_ms = ph_keeper_now_ms();
    for (uint32_t lease = 1; lease < PH_KEEPER_LEASES; lease++) {
        if (keeper->leases[lease].enforced || keeper->leases[lease].until_ms > now_ms)
            continue;
        keeper->leases[lease].enforced = true;
        enforce(keeper, lease);
    }
}

int ph_keeper_leases_wait_ms(const struct ph_keeper *keeper)
{
    uint64_t now_ms = ph_keeper_now_ms(), next_ms = UINT64_MAX;
    for (uint32_t lease = 1; lease < PH_KEEPER_LEASES; lease++) {
        if (!keeper->leases[lease].enforced && keeper->leases[lease].until_ms < next_ms)
            next_ms = keeper->leases[lease].until_ms;
    }
    if (next_ms == UINT64_MAX)
        return -1;
    if (next_ms <= now_ms)
        return 0;
    return next_ms - now_ms < INT_MAX ? (int)(next_ms - now_ms) : INT_MAX;
}
