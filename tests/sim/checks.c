#include "tests/sim/checks.h"

#include "engine/alloc.h"
#include "tests/sim/report.h"

struct sim_oracle {
    int x;
};
struct sim_oracle *sim_oracle_create(void)
{
    return ph_alloc(sizeof(struct sim_oracle));
}
void sim_oracle_destroy(struct sim_oracle *o)
{
    ph_free(o);
}
void sim_check_hub_begins(struct sim_hub *h)
{
    (void)h;
}
void sim_check_hub_ends(struct sim_hub *h)
{
    (void)h;
}
void sim_check_step(struct sim_hub *h)
{
    (void)h;
}
void sim_check_start(struct sim_instance *i)
{
    (void)i;
}
void sim_check_message(struct sim *s, const struct sim_instance *i, uint64_t n)
{
    (void)s;
    (void)i;
    (void)n;
}
uint64_t sim_oracle_mark(const struct sim *s)
{
    (void)s;
    return 0;
}
void sim_check_acknowledged(struct sim_hub *h, unsigned id, bool stop, uint64_t mark, uint64_t b)
{
    (void)h;
    (void)id;
    (void)stop;
    (void)mark;
    (void)b;
}
void sim_check_promises(struct sim *s)
{
    (void)s;
}
