#include "tui/options.h"

#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/error.h"
#include "engine/nearest.h"
#include "engine/text.h"

struct reader {
    struct ph_options *options;
    char **argv;
    int argc, at;
    struct ph_error *error;
};

typedef int (*option_fn)(struct reader *, const char *value);

static int set_config(struct reader *reader, const char *value)
{
    reader->options->config = value;
    return ph_settings_set(&reader->options->settings, "config", value, "option", reader->error);
}

static int add_command(struct reader *reader, const char *value)
{
    reader->options->commands[reader->options->command_count++] = value;
    return 0;
}

static int add_hub(struct reader *reader, const char *value)
{
    reader->options->hubs[reader->options->hub_count++] = value;
    return 0;
}

static int set_form(struct reader *reader, const char *value)
{
    reader->options->form_given = true;
    if (ph_form_parse(value, &reader->options->form))
        return 0;
    return ph_error_set(reader->error, PH_EUSAGE, "-o %s: table, wide, json, jsonl or tsv", value);
}

static int set_fps(struct reader *reader, const char *value)
{
    uint64_t fps;
    if (!ph_parse_uint(value, 30, &fps) || fps == 0)
        return ph_error_set(reader->error, PH_EUSAGE, "--fps %s: a number from 1 to 30", value);
    reader->options->console.fps = (unsigned)fps;
    return 0;
}

static int set_keep_going(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->keep_going = true;
    return 0;
}

static int set_check(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->check = true;
    return 0;
}

static int set_yes(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->yes = true;
    return 0;
}

static int set_mono(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->console.monochrome = true;
    return 0;
}

static int set_ascii(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->console.ascii = true;
    return 0;
}

static int set_help(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->mode = PH_MODE_HELP;
    return 0;
}

static int set_version(struct reader *reader, const char *value)
{
    (void)value;
    reader->options->mode = PH_MODE_VERSION;
    return 0;
}

static const struct {
    const char *name;
    char letter;
    bool takes_value;
    option_fn set; /* NULL: it is the setting of that name */
} table[] = {
    {.name = "config", .letter = 'c', .takes_value = true, .set = set_config},
    {.name = "name", .takes_value = true},
    {.name = "hub", .takes_value = true, .set = add_hub},
    {.name = "control", .takes_value = true},
    {.name = "modules", .takes_value = true},
    {.name = "state", .takes_value = true},
    {.name = "workers", .takes_value = true},
    {.name = "keeper", .takes_value = true},
    {.name = "listen", .takes_value = true},
    {.name = "join", .takes_value = true},
    {.name = "advertise", .takes_value = true},
    {.name = "beacon", .takes_value = true},
    {.name = "cluster", .takes_value = true},
    {.name = "heartbeat", .takes_value = true},
    {.name = "dead-after", .takes_value = true},
    {.name = "lease", .takes_value = true},
    {.name = "execute", .letter = 'e', .takes_value = true, .set = add_command},
    {.name = "output", .letter = 'o', .takes_value = true, .set = set_form},
    {.name = "keep-going", .letter = 'k', .set = set_keep_going},
    {.name = "check", .letter = 'n', .set = set_check},
    {.name = "yes", .set = set_yes},
    {.name = "mono", .set = set_mono},
    {.name = "ascii", .set = set_ascii},
    {.name = "fps", .takes_value = true, .set = set_fps},
    {.name = "help", .letter = 'h', .set = set_help},
    {.name = "version", .letter = 'V', .set = set_version},
};

static int refuse_unknown(struct reader *reader, const char *name)
{
    struct ph_nearest nearest = {0};
    const char *refusal = ph_settings_refusal(name);
    if (refusal)
        return ph_error_set(reader->error, PH_EREFUSED, "--%s: %s", name, refusal);
    for (size_t i = 0; i < PH_COUNT_OF(table); i++)
        ph_nearest_offer(&nearest, name, table[i].name);
    return ph_error_set(reader->error, PH_EUSAGE, "--%.60s: no such option%s%s%s; see --help", name,
                        nearest.word ? ", did you mean --" : "", nearest.word ? nearest.word : "",
                        nearest.word ? "?" : "");
}

static int apply(struct reader *reader, size_t row, const char *value)
{
    if (table[row].set)
        return table[row].set(reader, value);
    return ph_settings_set(&reader->options->settings, table[row].name, value, "option",
                           reader->error);
}

/* The value of the option at reader->at: behind '=' or the next word. */
static int take_value(struct reader *reader, const char *attached, const char *shown,
                      const char **value)
{
    *value = attached;
    if (attached)
        return 0;
    if (reader->at + 1 >= reader->argc)
        return ph_error_set(reader->error, PH_EUSAGE, "%s: a value is missing", shown);
    *value = reader->argv[++reader->at];
    return 0;
}

static int read_long(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '='), *value = NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), word);
    for (size_t i = 0; i < PH_COUNT_OF(table); i++) {
        if (strcmp(table[i].name, name) != 0)
            continue;
        if (!table[i].takes_value)
            return equals ? ph_error_set(reader->error, PH_EUSAGE, "--%s takes no value", name)
                          : apply(reader, i, NULL);
        char shown[80];
        snprintf(shown, sizeof shown, "--%s", name);
        int rc = take_value(reader, equals ? equals + 1 : NULL, shown, &value);
        return rc < 0 ? rc : apply(reader, i, value);
    }
    return refuse_unknown(reader, name);
}

static int read_letters(struct reader *reader, const char *letters)
{
    for (; *letters; letters++) {
        size_t i = 0;
        while (i < PH_COUNT_OF(table) && table[i].letter != *letters)
            i++;
        if (i == PH_COUNT_OF(table))
            return ph_error_set(reader->error, PH_EUSAGE, "-%c: no such option; see --help",
                                *letters);
        const char *value = NULL;
        char shown[3] = {'-', *letters, '\0'};
        int rc = 0;
        if (table[i].takes_value)
            rc = take_value(reader, letters[1] ? letters + 1 : NULL, shown, &value);
        if (rc == 0)
            rc = apply(reader, i, value);
        if (rc < 0 || table[i].takes_value)
            return rc;
    }
    return 0;
}

static int take_word(struct reader *reader, const char *word)
{
    struct ph_options *options = reader->options;
    if (options->mode == PH_MODE_ATTACH && strstr(word, "://") && !options->endpoint) {
        options->endpoint = word;
        return 0;
    }
    if (options->mode == PH_MODE_NODE)
        return ph_error_set(reader->error, PH_EUSAGE,
                            "%.60s: `prochub node` runs no script; give it one with -c", word);
    if (options->script)
        return ph_error_set(reader->error, PH_EUSAGE, "%.60s: there is a script already, %.60s",
                            word, options->script);
    options->script = word;
    return 0;
}

static int read_words(struct reader *reader)
{
    bool only_words = false;
    for (; reader->at < reader->argc; reader->at++) {
        const char *word = reader->argv[reader->at];
        int rc;
        if (only_words || word[0] != '-' || !word[1])
            rc = take_word(reader, word);
        else if (strcmp(word, "--") == 0)
            rc = 0, only_words = true;
        else if (word[1] == '-')
            rc = read_long(reader, word + 2);
        else
            rc = read_letters(reader, word + 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check(const struct ph_options *options, struct ph_error *error)
{
    if (options->mode == PH_MODE_ATTACH && options->config)
        return ph_error_set(error, PH_EUSAGE,
                            "-c sets a node up; run a script against it with attach FILE");
    if (options->command_count && options->script)
        return ph_error_set(error, PH_EUSAGE, "-e and a script (%.60s): one of the two",
                            options->script);
    return 0;
}

static void read_mode(struct reader *reader)
{
    const char *word = reader->argc > 1 ? reader->argv[1] : "";
    struct ph_options *options = reader->options;
    if (strcmp(word, "node") == 0)
        options->mode = PH_MODE_NODE;
    else if (strcmp(word, "attach") == 0)
        options->mode = PH_MODE_ATTACH;
    else if (strcmp(word, "help") == 0)
        options->mode = PH_MODE_HELP;
    else
        return;
    reader->at++;
}

static void read_topic(struct reader *reader)
{
    struct ph_text topic = PH_TEXT_INIT;
    for (; reader->at < reader->argc; reader->at++)
        ph_text_printf(&topic, "%s%s", topic.length ? " " : "", reader->argv[reader->at]);
    reader->options->topic = topic.data;
    reader->options->language = true;
}

int ph_options_read(struct ph_options *options, int argc, char **argv, struct ph_error *error)
{
    struct reader reader = {
        .options = options, .argv = argv, .argc = argc, .at = 1, .error = error};
    *options = (struct ph_options){
        .commands = ph_alloc((size_t)argc * sizeof *options->commands),
        .hubs = ph_alloc((size_t)argc * sizeof *options->hubs),
    };
    if (argc > 1 && strcmp(argv[1], "keygen") == 0)
        return ph_error_set(error, PH_EREFUSED,
                            "keygen: links have no keys in this build yet; they stay on loopback");
    read_mode(&reader);
    if (options->mode == PH_MODE_HELP) {
        read_topic(&reader);
        return 0;
    }
    int rc = read_words(&reader);
    return rc < 0 ? rc : check(options, error);
}

void ph_options_fini(struct ph_options *options)
{
    ph_settings_fini(&options->settings);
    ph_free(options->commands);
    ph_free(options->hubs);
    ph_free(options->topic);
}

const char *ph_options_help(void)
{
    return "prochub [OPTIONS] [SCRIPT]     a node in this process: a console on a terminal, else "
           "a\n"
           "                               script from SCRIPT or standard input\n"
           "prochub node [OPTIONS]         a node in the foreground until SIGTERM or SIGINT\n"
           "prochub attach [ENDPOINT] [OPTIONS] [SCRIPT]\n"
           "                               the same console or script against a running node\n"
           "prochub bench SUITE [OPTIONS]  the benchmarks\n"
           "prochub help [COMMAND]         the command language\n"
           "\n"
           "  -c, --config FILE     a script that is run first; SIGHUP runs it again\n"
           "      --name NAME       the node's name (the host's)\n"
           "      --listen ENDPOINT where other nodes link to: tcp://127.0.0.1:PORT, * for a free "
           "one\n"
           "      --join ENDPOINT[,ENDPOINT]\n"
           "                        nodes to link to; tried for ever, in any order of starting\n"
           "      --advertise ENDPOINT\n"
           "                        where others reach this node, if not where it listens\n"
           "      --beacon ADDR:PORT\n"
           "                        find nodes of the cluster by UDP datagrams to there\n"
           "      --cluster NAME    nodes of another cluster are refused (default)\n"
           "      --heartbeat D     nodes hear of each other at least every D (500ms)\n"
           "      --dead-after D    silence after which a node is dead (3s)\n"
           "      --lease D         without a quorum for that long a node stops its children "
           "(2.5s)\n"
           "      --hub NAME[:KEY=VALUE,...]\n"
           "                        start this hub; repeatable, the first is in use (default)\n"
           "      --control ENDPOINT\n"
           "                        the control socket, ipc://PATH or none\n"
           "                        (node: $XDG_RUNTIME_DIR/prochub/NAME.sock, /run/prochub for\n"
           "                        root, or ~/.prochub; else none)\n"
           "      --modules DIR     where module=NAME finds NAME.so\n"
           "      --state DIR       keep what is wanted there; a node that is started again with "
           "it\n"
           "                        goes on where it was\n"
           "      --workers N       threads for children (one per core)\n"
           "      --keeper PATH     the program prochub-keeper (beside prochub, else from PATH)\n"
           "  -e, --execute COMMAND run COMMAND instead of a script; repeatable, in order\n"
           "  -o, --output FORM     table, wide, json, jsonl or tsv (table on a terminal, else "
           "tsv)\n"
           "  -k, --keep-going      do not stop at the first failing command\n"
           "  -n, --check           check the whole script and run nothing\n"
           "      --yes             consent for commands that ask on a terminal\n"
           "      --mono --ascii --fps N\n"
           "                        the console: no colours, no line characters, frames a second\n"
           "      --version --help\n"
           "\n"
           "Exit code: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 timed out,\n"
           "6 no connection, 7 done in part, 130 interrupted.\n";
}
