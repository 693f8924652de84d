/* What jemalloc reads before main (docs/decisions/0009-jemalloc.md, jemalloc(3) TUNING): memory
 * that was freed goes back to the system after half a second: by who frees more then, else by a
 * thread of jemalloc's own. */
extern const char *const malloc_conf;
const char *const malloc_conf = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";
