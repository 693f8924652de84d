#include "tui/setup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/alloc.h"
#include "engine/error.h"
#include "engine/node.h"
#include "engine/text.h"

enum { HUB_OPTIONS_MAX = 64 };

static int read_pair(const struct ph_word *word, struct ph_settings *settings,
                     struct ph_script_error *error)
{
    size_t key = ph_word_key(word);
    if (word->variable)
        return ph_word_refuse(word, error, PH_EUSAGE,
                              "variables are not known yet when the node is set up");
    if (!key)
        return ph_word_refuse(word, error, PH_EUSAGE, "%s: node takes KEY=VALUE words",
                              ph_word_shown(word).text);
    char *name = ph_copy_text(word->text, key);
    int rc = ph_settings_set(settings, name, word->text + key + 1, "config", &error->error);
    ph_free(name);
    if (rc < 0) {
        error->line = word->line;
        error->column = word->column;
    }
    return rc;
}

int ph_setup_read(const struct ph_script *script, struct ph_settings *settings, bool *creates_hubs,
                  struct ph_script_error *error)
{
    *creates_hubs = false;
    for (size_t i = 0; i < ph_script_count(script); i++) {
        const struct ph_statement *statement = ph_script_at(script, i);
        const struct ph_word *words = statement->words;
        if (statement->count > 1 && ph_word_is(&words[0], "hub") && ph_word_is(&words[1], "create"))
            *creates_hubs = true;
        if (!ph_word_is(&words[0], "node"))
            continue;
        for (size_t word = 1; word < statement->count; word++) {
            int rc = read_pair(&words[word], settings, error);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int ph_setup_hub(struct ph_node *node, const char *text, struct ph_error *error)
{
    const char *options[HUB_OPTIONS_MAX];
    size_t count = 0;
    char *copy = ph_copy_text(text, strlen(text)), *state = NULL;
    char *colon = strchr(copy, ':');
    struct ph_hub *hub;
    if (colon)
        *colon++ = '\0';
    for (char *option = colon ? strtok_r(colon, ",", &state) : NULL;
         option && count < HUB_OPTIONS_MAX; option = strtok_r(NULL, ",", &state))
        options[count++] = option;
    int rc = ph_hub_create(node, copy, options, count, &hub, error);
    if (rc == 0)
        ph_hub_put(hub);
    else if (!error->text[0])
        ph_error_set(error, rc, "--hub %s: %s", copy, ph_error_text(rc));
    ph_free(copy);
    return rc;
}

static void set_default(struct ph_settings *settings, enum ph_setting_key key, const char *value)
{
    struct ph_error ignored;
    int rc = ph_settings_set(settings, ph_setting_name(key), value, "default", &ignored);
    (void)rc; /* a host name that is no node name was refused by ph_node_create */
}

static void set_default_ms(struct ph_settings *settings, enum ph_setting_key key, uint64_t ms)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)ms);
    set_default(settings, key, text);
}

void ph_setup_defaults(struct ph_settings *settings, const struct ph_node *node,
                       const char *control)
{
    char workers[24];
    snprintf(workers, sizeof workers, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    set_default(settings, PH_SETTING_NAME, ph_node_name(node));
    set_default(settings, PH_SETTING_CONTROL, control ? control : "none");
    set_default(settings, PH_SETTING_WORKERS, workers);
    set_default(settings, PH_SETTING_KEEPER, "prochub-keeper");
    if (!ph_settings_get(settings, PH_SETTING_LISTEN))
        return;
    set_default(settings, PH_SETTING_CLUSTER, PH_CLUSTER_DEFAULT);
    set_default(settings, PH_SETTING_ADVERTISE, node->listen);
    set_default_ms(settings, PH_SETTING_HEARTBEAT, node->heartbeat_ms);
    set_default_ms(settings, PH_SETTING_DEAD_AFTER, node->dead_after_ms);
    set_default_ms(settings, PH_SETTING_LEASE, node->lease_ms);
}
