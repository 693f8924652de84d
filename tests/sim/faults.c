#include "tests/sim/sim.h"

void sim_faults_begin(struct sim *sim)
{
    (void)sim;
}

void sim_heal(struct sim *sim)
{
    (void)sim;
}
