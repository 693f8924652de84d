#ifndef PH_ENGINE_GAUGE_H
#define PH_ENGINE_GAUGE_H

int ph_gauge_read(int scale);

#endif
