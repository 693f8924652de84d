/*
 * What the files of commands share: the functions that the table's rows name, and small helpers to
 * read arguments and to say results. Only command*.c include it.
 */
#ifndef PH_IPC_COMMAND_RUN_H
#define PH_IPC_COMMAND_RUN_H

#include "ipc/session.h"

/* ---- Arguments (command_say.c) ------------------------------------------------------------- */

/* The value of an option by its name: NULL / false when it was not given. */
const char *ph_args_text(const struct ph_args *, const char *option);
const struct ph_word *ph_args_value(const struct ph_args *, const char *option);
bool ph_args_number(const struct ph_args *, const char *option, uint64_t *number);
bool ph_args_flag(const struct ph_args *, const char *option);

/* When a request that may take `timeout=` has to be done; `fallback_ms` UINT64_MAX is never. */
uint64_t ph_args_timeout(const struct ph_args *, uint64_t fallback_ms);

/* ---- Requests for many (command_report.c) -------------------------------------------------- */

/* Is the command to wait for the end of its request (`wait=`)? */
bool ph_args_waits(const struct ph_args *);
/* The ids that the first `count` words and `where` mean. */
PH_MUST_CHECK int ph_session_targets(struct ph_session *, const struct ph_args *, size_t count,
                                     struct ph_hub **hub, struct ph_ids *ids);
/* Waits for a request and reports it: an object of `type` with what changed (and what was the
 * `same`) and what failed. Puts the op. With _rest it was waited for already. */
PH_MUST_CHECK int ph_session_report(struct ph_session *, struct ph_op *, const char *type,
                                    bool same, uint64_t timeout_ms);
PH_MUST_CHECK int ph_session_report_rest(struct ph_session *, struct ph_op *, const char *type,
                                         bool same, uint64_t waited_ms, uint64_t left_ms);
/* `wait=no`: it is under way, and that is all there is to say. */
PH_MUST_CHECK int ph_session_under_way(struct ph_session *, const char *type, bool same);

/* ---- Results (command_say.c) --------------------------------------------------------------- */

/* Begins rows in the session's form. */
struct ph_rows *ph_session_rows(struct ph_session *, const char *type,
                                const struct ph_column *columns, size_t count, bool single);

/* Is this a form for programs, in which every command says one object? */
bool ph_session_is_json(const struct ph_session *);

/* Writes one line of plain text (escaped) to standard output. */
int ph_session_line(struct ph_session *, const char *text, size_t length);

/* Writes a remark for people to standard error. */
void ph_session_note(struct ph_session *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Waits for a request without results of its own (a lock, a hook): 0, or its error, said. The op
 * stays the caller's. */
PH_MUST_CHECK int ph_session_wait(struct ph_session *, struct ph_op *, uint64_t timeout_ms);

/* Runs an inspection in the hub's step; what it wrote goes to `out`. */
PH_MUST_CHECK int ph_session_inspect(struct ph_session *, struct ph_hub *, ph_inspect_fn fn,
                                     struct ph_text *out);

/* Fields of an inspection: rows end with \x1e, fields with \x1f (the last one may lack it). */
enum { PH_FIELD_END = '\x1f', PH_ROW_END = '\x1e' };
void ph_field_put(struct ph_text *, const char *text);
void ph_field_uint(struct ph_text *, uint64_t number);
void ph_field_row(struct ph_text *);
/* Takes the next row apart in place; false at the end. Missing fields are "". */
bool ph_field_next(char **cursor, const char **fields, size_t count);

/* ---- What another node has to do (command_remote.c) ----------------------------------------- */

/* Runs the statement on the node where the child that `word` names runs, when that is another one:
 * `*here` false, and its code. Else `*here` is true and 0 is returned: the command goes on with
 * what is known here. */
PH_MUST_CHECK int ph_session_elsewhere(struct ph_session *, const struct ph_word *word, bool *here);
/* The same for the node of that name. */
PH_MUST_CHECK int ph_session_on_node(struct ph_session *, const struct ph_word *word,
                                     const char *node, bool *here);

/* ---- Commands ------------------------------------------------------------------------------ */

/* command_children.c */
int ph_command_start(struct ph_session *, const struct ph_args *);
int ph_command_stop(struct ph_session *, const struct ph_args *);
int ph_command_restart(struct ph_session *, const struct ph_args *);
int ph_command_signal(struct ph_session *, const struct ph_args *);
int ph_command_send(struct ph_session *, const struct ph_args *);
int ph_command_call(struct ph_session *, const struct ph_args *);

/* command_list.c */
int ph_command_children(struct ph_session *, const struct ph_args *);
int ph_command_count_children(struct ph_session *, const struct ph_args *);
int ph_command_pids(struct ph_session *, const struct ph_args *);
int ph_command_registry(struct ph_session *, const struct ph_args *);
/* Reads the row of the child that `word` names, or says that there is none. */
struct ph_child_row;
PH_MUST_CHECK int ph_session_child(struct ph_session *, const struct ph_word *word,
                                   struct ph_child_row *row);

/* command_child.c */
int ph_command_child(struct ph_session *, const struct ph_args *);
int ph_command_logs(struct ph_session *, const struct ph_args *);

/* command_events.c */
int ph_command_events(struct ph_session *, const struct ph_args *);
int ph_command_history(struct ph_session *, const struct ph_args *);
/* The newest `limit` records of one child, oldest first, as a JSON array. */
void ph_history_json(struct ph_hub *, const char *id, size_t limit, struct ph_text *out);

/* command_gate.c */
int ph_command_lock(struct ph_session *, const struct ph_args *);
int ph_command_unlock(struct ph_session *, const struct ph_args *);
int ph_command_locks(struct ph_session *, const struct ph_args *);
int ph_command_queue(struct ph_session *, const struct ph_args *);
int ph_command_dispatch(struct ph_session *, const struct ph_args *);
int ph_command_hooks(struct ph_session *, const struct ph_args *);
int ph_command_hook_add(struct ph_session *, const struct ph_args *);
int ph_command_hook_remove(struct ph_session *, const struct ph_args *);

/* command_hub.c */
int ph_command_status(struct ph_session *, const struct ph_args *);
int ph_command_hubs(struct ph_session *, const struct ph_args *);
int ph_command_hub_create(struct ph_session *, const struct ph_args *);
int ph_command_hub_stop(struct ph_session *, const struct ph_args *);
int ph_command_use(struct ph_session *, const struct ph_args *);
int ph_command_shutdown(struct ph_session *, const struct ph_args *);

/* command_cluster.c */
/* How many nodes this side sees, how many it needs (0: the strategy wants none), and the size that
 * this is counted from. */
struct ph_quorum {
    bool partitioned;
    uint64_t seen, needed, size;
};
struct ph_quorum ph_hub_quorum(struct ph_hub *);
int ph_command_nodes(struct ph_session *, const struct ph_args *);
int ph_command_owner(struct ph_session *, const struct ph_args *);
int ph_command_plan(struct ph_session *, const struct ph_args *);
int ph_command_quorum(struct ph_session *, const struct ph_args *);
int ph_command_migrations(struct ph_session *, const struct ph_args *);
int ph_command_join(struct ph_session *, const struct ph_args *);
int ph_command_leave(struct ph_session *, const struct ph_args *);

/* command_conflict.c */
int ph_command_conflicts(struct ph_session *, const struct ph_args *);
int ph_command_conflict_show(struct ph_session *, const struct ph_args *);
int ph_command_conflict_drop(struct ph_session *, const struct ph_args *);

/* command_move.c */
int ph_command_migrate(struct ph_session *, const struct ph_args *);
int ph_command_unpin(struct ph_session *, const struct ph_args *);
int ph_command_drain(struct ph_session *, const struct ph_args *);
int ph_command_undrain(struct ph_session *, const struct ph_args *);

/* command_node.c */
int ph_command_modules(struct ph_session *, const struct ph_args *);
int ph_command_module_load(struct ph_session *, const struct ph_args *);
int ph_command_stats(struct ph_session *, const struct ph_args *);
int ph_command_config(struct ph_session *, const struct ph_args *);
int ph_command_node(struct ph_session *, const struct ph_args *);

/* command_wait.c */
int ph_command_wait(struct ph_session *, const struct ph_args *);
int ph_command_assert(struct ph_session *, const struct ph_args *);

#endif
