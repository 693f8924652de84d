#include "ipc/command_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/host.h"
#include "ipc/child_row.h"
#include "ipc/pick.h"
#include "ipc/target.h"

static int target_error(struct ph_session *session, const struct ph_script_error *error)
{
    ph_say_error(session->sink, session->form,
                 (struct ph_position){session->script, error->line, error->column},
                 error->error.code, error->error.text);
    return error->error.code;
}

/* The target that the words and `where` of the command name. */
static int read_target(struct ph_session *session, const struct ph_args *args,
                       struct ph_target *target)
{
    struct ph_hub *hub;
    struct ph_script_error error = {0};
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    rc = ph_target_init(target, hub, args->words, args->word_count, args->expr, &error);
    if (rc < 0)
        return target_error(session, &error);
    const char *scope = ph_args_text(args, "scope");
    target->local = scope && strcmp(scope, "local") == 0;
    return 0;
}

/* ---- children, registry --------------------------------------------------------------------- */

typedef void (*put_row_fn)(struct ph_rows *, const struct ph_child_row *);

struct listing {
    const char *type;
    const struct ph_column *columns;
    size_t count;
    put_row_fn put;
    bool wants_spec;
};

static int write_picked(struct ph_session *session, const struct ph_pick *pick, size_t offset,
                        struct ph_rows *rows, const struct listing *listing)
{
    struct ph_child_row row = {.wants_spec = listing->wants_spec};
    int rc = 0;
    for (size_t i = offset; i < pick->count && rc == 0; i++) {
        const char *id = pick->entries[i].id;
        if (!ph_child_row_find(&row, session->hub, id, strlen(id)))
            continue;
        listing->put(rows, &row);
        rc = ph_rows_end_row(rows);
    }
    ph_child_row_fini(&row);
    return rc;
}

static int check_sort(struct ph_session *session, const struct ph_args *args, const char **field,
                      bool *descending)
{
    const char *sort = ph_args_text(args, "sort");
    *descending = sort && *sort == '-';
    *field = sort && *descending ? sort + 1 : sort;
    if (*field && !ph_child_resolver.known(*field))
        return ph_session_error(session, ph_args_value(args, "sort"), PH_EUSAGE,
                                "sort=%s: no such field; one of %s, with '-' before it for the "
                                "reverse order",
                                *field, ph_child_resolver.fields);
    return 0;
}

static int list(struct ph_session *session, const struct ph_args *args,
                const struct listing *listing)
{
    struct ph_target target;
    const char *field;
    bool descending;
    uint64_t limit = 0, offset = 0;
    int rc = check_sort(session, args, &field, &descending);
    if (rc == 0)
        rc = read_target(session, args, &target);
    if (rc < 0)
        return rc;
    bool limited = ph_args_number(args, "limit", &limit);
    ph_args_number(args, "offset", &offset);
    struct ph_pick pick = {0};
    if (!limited || limit)
        ph_pick_run(&pick, &target, field, descending, offset, limit);
    struct ph_rows *rows =
        ph_session_rows(session, listing->type, listing->columns, listing->count, false);
    rc = write_picked(session, &pick, (size_t)offset, rows, listing);
    int finished = ph_rows_finish(rows);
    ph_pick_fini(&pick);
    ph_target_fini(&target);
    return rc < 0 ? rc : finished;
}

int ph_command_children(struct ph_session *session, const struct ph_args *args)
{
    static const struct listing listing = {
        .type = "child",
        .columns = ph_child_columns,
        .count = PH_CHILD_COLUMNS,
        .put = ph_child_row_put,
    };
    return list(session, args, &listing);
}

static const struct ph_column registry_columns[] = {
    {.key = "id", .type = PH_COLUMN_TEXT},    {.key = "kind", .type = PH_COLUMN_TEXT},
    {.key = "nodes", .type = PH_COLUMN_LIST}, {.key = "state", .type = PH_COLUMN_TEXT},
    {.key = "epoch", .type = PH_COLUMN_TEXT}, {.key = "tags", .type = PH_COLUMN_LIST},
    {.key = "meta", .type = PH_COLUMN_MAP},   {.key = "spec", .type = PH_COLUMN_TEXT},
};

static void put_registry(struct ph_rows *rows, const struct ph_child_row *row)
{
    ph_rows_str(rows, row->info.id);
    ph_rows_str(rows, row->kind);
    ph_rows_text(rows, ph_text_str(&row->nodes), row->nodes.length);
    ph_rows_str(rows, ph_state_name(row->info.state));
    ph_rows_str(rows, row->epoch.length ? row->epoch.data : NULL);
    ph_rows_text(rows, ph_text_str(&row->tags), row->tags.length);
    ph_rows_text(rows, ph_text_str(&row->meta), row->meta.length);
    ph_rows_str(rows, ph_text_str(&row->spec));
}

int ph_command_registry(struct ph_session *session, const struct ph_args *args)
{
    static const struct listing listing = {
        .type = "registration",
        .columns = registry_columns,
        .count = PH_COUNT_OF(registry_columns),
        .put = put_registry,
        .wants_spec = true,
    };
    return list(session, args, &listing);
}

/* ---- count ---------------------------------------------------------------------------------- */

static bool count_one(void *arg, struct ph_subject *subject)
{
    (void)subject;
    ++*(uint64_t *)arg;
    return true;
}

int ph_command_count_children(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column column = {.key = "count", .type = PH_COLUMN_UINT};
    struct ph_target target;
    uint64_t count = 0;
    int rc = read_target(session, args, &target);
    if (rc < 0)
        return rc;
    if (args->word_count || args->expr || target.local)
        ph_target_each(&target, count_one, &count);
    else
        count = ph_count(session->hub);
    ph_target_fini(&target);
    if (!ph_session_is_json(session)) {
        char line[32];
        return ph_session_line(
            session, line, (size_t)snprintf(line, sizeof line, "%llu", (unsigned long long)count));
    }
    struct ph_rows *rows = ph_session_rows(session, "count", &column, 1, true);
    ph_rows_uint(rows, count);
    ph_rows_end_row(rows);
    return ph_rows_finish(rows);
}

/* ---- One child ------------------------------------------------------------------------------ */

int ph_session_child(struct ph_session *session, const struct ph_word *word,
                     struct ph_child_row *row)
{
    struct ph_hub *hub;
    int rc = ph_session_hub(session, &hub);
    if (rc < 0)
        return rc;
    if (ph_child_row_find(row, hub, word->text, word->length))
        return 0;
    return ph_session_error(session, word, PH_ENOTFOUND, "there is no child %s", word->text);
}

/* The placements of one child, copied: nobody writes inside a read section. */
struct placements {
    struct placement {
        struct ph_child_info info;
        char node[PH_NAME_MAX + 1];
        struct ph_text epoch;
    } list[PH_MEMBERS_MAX];
    size_t count;
};

static void copy_placement_rcu(struct placement *copy, struct ph_subject *subject)
{
    const char *node = ph_subject_node_rcu(subject);
    ph_subject_info_rcu(subject, &copy->info);
    snprintf(copy->node, sizeof copy->node, "%s", node ? node : "");
    ph_subject_put_epoch(subject, copy->info.epoch, &copy->epoch);
}

static void find_placements(struct placements *found, struct ph_hub *hub,
                            const struct ph_word *word)
{
    struct ph_subject subject = {0};
    ph_rcu_enter();
    ph_subject_open_rcu(&subject, hub);
    bool more = ph_subject_find_rcu(&subject, word->text, word->length);
    for (more = more && ph_subject_first_rcu(&subject); more && found->count < PH_MEMBERS_MAX;
         more = ph_subject_next_rcu(&subject))
        copy_placement_rcu(&found->list[found->count++], &subject);
    ph_rcu_exit();
    ph_subject_fini(&subject);
}

static void put_placement(struct ph_rows *rows, struct placement *placement)
{
    const struct ph_child_info *info = &placement->info;
    ph_rows_str(rows, info->id);
    ph_rows_str(rows, placement->node);
    ph_rows_uint(rows, info->pid ? info->pid : UINT64_MAX);
    ph_rows_str(rows, "active");
    ph_rows_str(rows, ph_state_name(info->state));
    ph_rows_str(rows, ph_text_str(&placement->epoch));
    ph_rows_uint(rows, info->instance);
    ph_rows_end_row(rows);
    ph_text_fini(&placement->epoch);
}

int ph_command_pids(struct ph_session *session, const struct ph_args *args)
{
    static const struct ph_column columns[] = {
        {.key = "id", .type = PH_COLUMN_TEXT},       {.key = "node", .type = PH_COLUMN_TEXT},
        {.key = "pid", .type = PH_COLUMN_NULLABLE},  {.key = "mode", .type = PH_COLUMN_TEXT},
        {.key = "state", .type = PH_COLUMN_TEXT},    {.key = "epoch", .type = PH_COLUMN_TEXT},
        {.key = "instance", .type = PH_COLUMN_UINT},
    };
    struct ph_child_row row = {0};
    int rc = ph_session_child(session, args->words[0], &row);
    ph_child_row_fini(&row);
    if (rc < 0)
        return rc;
    struct placements *found = ph_alloc(sizeof *found);
    find_placements(found, session->hub, args->words[0]);
    struct ph_rows *rows = ph_session_rows(session, "pid", columns, PH_COUNT_OF(columns), false);
    for (size_t i = 0; i < found->count; i++)
        put_placement(rows, &found->list[i]);
    ph_free(found);
    return ph_rows_finish(rows);
}
