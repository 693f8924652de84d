#include "engine/kind/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base.h"
#include "engine/op.h"
#include "engine/waiter.h"

enum {
    PIECE_BYTES = 32 * 1024, /* of a state, in one line */
    SENDS_PER_TURN = 8,
    READ_BYTES = 64 * 1024,
    LAST_READS = 64,
    KEPT_BYTES = 64 * 1024, /* of a buffer that is empty */
    WHY_BYTES = 200,
    HUNG_MS = 1000, /* from the end of its socket to its own */
};

/* ---- The end of it --------------------------------------------------------------------------- */

static void fail(struct ph_talk *talk, enum ph_exit_how how, const char *why)
{
    ph_loop_remove(talk->loop, &talk->source);
    ph_alarm_cancel(&talk->hung);
    talk->state = PH_TALK_FAILED;
    talk->calls->failed(talk, how, why);
}

/* It said something that no program may say. */
static void fail_invalid(struct ph_talk *talk, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "PROCHUB_SOCKET: %s", why);
    fail(talk, PH_EXIT_FAILED, text);
}

static void hung(struct ph_alarm *alarm)
{
    fail_invalid(ph_container_of(alarm, struct ph_talk, hung), "it closed it and goes on");
}

/* No more words from it: either it ends just now, or it closed its end. */
static void lose(struct ph_talk *talk)
{
    ph_loop_remove(talk->loop, &talk->source);
    if (!talk->ending)
        ph_alarm_set(talk->loop, &talk->hung, ph_now_ms() + HUNG_MS);
}

/* ---- What goes out --------------------------------------------------------------------------- */

static bool has_more(const struct ph_talk *talk)
{
    return talk->out_at < talk->out.length || talk->state_verb;
}

static void empty(struct ph_text *buffer)
{
    if (buffer->capacity > KEPT_BYTES)
        ph_text_fini(buffer);
    else
        ph_text_clear(buffer);
}

/* The next lines of a state, when all before them are out. */
static void fill(struct ph_talk *talk)
{
    size_t piece = talk->state_left < PIECE_BYTES ? talk->state_left : PIECE_BYTES;
    if (!talk->state_verb || talk->out.length)
        return;
    if (piece)
        ph_line_put(&talk->out, "state", talk->state_at, piece);
    talk->state_at += piece;
    talk->state_left -= piece;
    if (talk->state_left)
        return;
    ph_line_put(&talk->out, talk->state_verb, "", 0);
    talk->state_verb = NULL;
}

/* False: not now, or never. */
static bool send_some(struct ph_talk *talk)
{
    ssize_t sent = send(talk->source.fd, talk->out.data + talk->out_at,
                        talk->out.length - talk->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0)
        return sent < 0 && errno == EINTR;
    talk->box_begun = true;
    talk->out_at += (size_t)sent;
    if (talk->out_at == talk->out.length) {
        empty(&talk->out);
        talk->out_at = 0;
    }
    return true;
}

static void flush(struct ph_talk *talk)
{
    if (talk->source.fd < 0)
        return;
    for (int i = 0; i < SENDS_PER_TURN && has_more(talk); i++) {
        fill(talk);
        if (!send_some(talk))
            break;
    }
    if (talk->blocked != has_more(talk)) {
        talk->blocked = !talk->blocked;
        ph_loop_modify(talk->loop, &talk->source, EPOLLIN | (talk->blocked ? EPOLLOUT : 0u));
    }
}

static void ask(struct ph_talk *talk, enum ph_talk_state state, const char *verb, const char *text,
                size_t length)
{
    talk->state = state;
    ph_line_put(&talk->out, verb, text, length);
    flush(talk);
}

static void ask_with_state(struct ph_talk *talk, enum ph_talk_state state, const char *verb,
                           const char *bytes, size_t length)
{
    talk->state = state;
    talk->state_verb = verb;
    talk->state_at = bytes;
    talk->state_left = length;
    flush(talk);
}

void ph_talk_stand_by(struct ph_talk *talk)
{
    static const char passive[] = "passive";
    ask(talk, PH_TALK_STANDS_BY_ASKED, "role", passive, sizeof passive - 1);
}

static void ask_to_work(struct ph_talk *talk)
{
    char text[32];
    int length = snprintf(text, sizeof text, "active %" PRIu64, talk->epoch);
    ask(talk, PH_TALK_WORK_ASKED, "role", text, (size_t)length);
}

void ph_talk_work(struct ph_talk *talk, struct ph_text *state, uint64_t epoch)
{
    talk->epoch = epoch;
    talk->load = *state;
    *state = PH_TEXT_INIT;
    if (talk->load.length)
        ask_with_state(talk, PH_TALK_LOAD_ASKED, "load", talk->load.data, talk->load.length);
    else
        ask_to_work(talk);
}

static void ask_message(struct ph_talk *talk)
{
    struct ph_message_box *box = talk->calls->next(talk);
    if (!box)
        return;
    talk->box = box;
    talk->box_begun = false;
    ask(talk, PH_TALK_MESSAGE_ASKED, box->op ? "call" : "cast", box->data, box->length);
}

void ph_talk_pump(struct ph_talk *talk)
{
    if (talk->state != PH_TALK_WORKS || talk->ending || talk->source.fd < 0)
        return;
    if (talk->merge) {
        ask_with_state(talk, PH_TALK_MERGE_ASKED, "merge", talk->merge, talk->merge_length);
        talk->merge = NULL;
    } else if (talk->wants_save) {
        talk->wants_save = false;
        ask(talk, PH_TALK_SAVE_ASKED, "save", "", 0);
    } else {
        ask_message(talk);
    }
}

void ph_talk_merge(struct ph_talk *talk, const void *state, size_t length)
{
    talk->merge = state;
    talk->merge_length = length;
    ph_talk_pump(talk);
}

bool ph_talk_save(struct ph_talk *talk)
{
    if (talk->state != PH_TALK_WORKS && talk->state != PH_TALK_MESSAGE_ASKED &&
        talk->state != PH_TALK_MERGE_ASKED)
        return false;
    talk->wants_save = true;
    ph_talk_pump(talk);
    return true;
}

/* ---- What comes in: the table ---------------------------------------------------------------- */

static void stands_by(struct ph_talk *talk, const struct ph_line *line)
{
    (void)line;
    talk->state = PH_TALK_STANDS_BY;
    talk->calls->stands_by(talk);
}

static void works(struct ph_talk *talk, const struct ph_line *line)
{
    (void)line;
    talk->state = PH_TALK_WORKS;
    talk->calls->works(talk);
    ph_talk_pump(talk);
}

static void refuses_role(struct ph_talk *talk, const struct ph_line *line)
{
    char why[160];
    snprintf(why, sizeof why, "it refused its role: %.120s", line->text);
    fail(talk, PH_EXIT_FAILED, why);
}

static void loaded(struct ph_talk *talk, const struct ph_line *line)
{
    (void)line;
    ph_text_fini(&talk->load);
    ask_to_work(talk);
}

static void cannot_load(struct ph_talk *talk, const struct ph_line *line)
{
    char why[160];
    snprintf(why, sizeof why, "it cannot load its state: %.120s", line->text);
    ph_text_fini(&talk->load);
    fail(talk, PH_EXIT_EXEC, why);
}

static void answered(struct ph_talk *talk, int code, const char *why, const char *reply,
                     size_t length)
{
    struct ph_message_box *box = talk->box;
    talk->box = NULL;
    if (box->op)
        ph_op_set_reply(box->op, reply, length);
    ph_message_box_destroy(box, code, why);
    talk->state = PH_TALK_WORKS;
    ph_talk_pump(talk);
}

static void handled(struct ph_talk *talk, const struct ph_line *line)
{
    answered(talk, 0, NULL, line->text, line->length);
}

static void refused(struct ph_talk *talk, const struct ph_line *line)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "%s", line->length ? line->text : "it gave no reason");
    if (!talk->box->op)
        talk->calls->refused(talk, why);
    answered(talk, PH_EFAILED, why, "", 0);
}

static void take_state(struct ph_talk *talk, const struct ph_line *line)
{
    if (line->length > PH_STATE_BYTES_MAX - talk->saved.length)
        fail_invalid(talk, "it saves more than 256 MiB");
    else
        ph_text_append(&talk->saved, line->text, line->length);
}

static void saved(struct ph_talk *talk, const struct ph_line *line)
{
    ph_text_append(&talk->saved, line->text, 0); /* it has data, also when it is empty */
    ph_loop_remove(talk->loop, &talk->source);
    talk->state = PH_TALK_SAVED;
    talk->calls->saved(talk);
}

static void not_saved(struct ph_talk *talk, const struct ph_line *line)
{
    ph_text_fini(&talk->saved);
    talk->state = PH_TALK_WORKS;
    talk->calls->not_saved(talk, line->length ? line->text : "it gave no reason");
    ph_talk_pump(talk);
}

static void end_merge(struct ph_talk *talk, int code, const char *why)
{
    talk->state = PH_TALK_WORKS;
    talk->calls->merged(talk, code, why);
    ph_talk_pump(talk);
}

static void merged(struct ph_talk *talk, const struct ph_line *line)
{
    (void)line;
    end_merge(talk, 0, "");
}

static void not_merged(struct ph_talk *talk, const struct ph_line *line)
{
    end_merge(talk, PH_EFAILED, line->length ? line->text : "it gave no reason");
}

typedef void (*answer)(struct ph_talk *, const struct ph_line *);

/* What is not here answers nothing that was asked. */
static const answer table[PH_TALK_STATES][PH_LINE_VERBS] = {
    [PH_TALK_STANDS_BY_ASKED] = {[PH_LINE_OK] = stands_by, [PH_LINE_ERROR] = refuses_role},
    [PH_TALK_LOAD_ASKED] = {[PH_LINE_OK] = loaded, [PH_LINE_ERROR] = cannot_load},
    [PH_TALK_WORK_ASKED] = {[PH_LINE_OK] = works, [PH_LINE_ERROR] = refuses_role},
    [PH_TALK_MESSAGE_ASKED] = {[PH_LINE_OK] = handled, [PH_LINE_ERROR] = refused},
    [PH_TALK_MERGE_ASKED] = {[PH_LINE_OK] = merged, [PH_LINE_ERROR] = not_merged},
    [PH_TALK_SAVE_ASKED] =
        {[PH_LINE_OK] = saved, [PH_LINE_ERROR] = not_saved, [PH_LINE_STATE] = take_state},
};

static void take_line(struct ph_talk *talk, char *bytes, size_t length)
{
    struct ph_line line;
    const char *why = ph_line_parse(bytes, length, &line);
    answer act = why ? NULL : table[talk->state][line.verb];
    if (act && !has_more(talk)) /* it has heard what it answers */
        act(talk, &line);
    else
        fail_invalid(talk, why ? why : "it answers what it was not asked");
}

/* ---- What comes in: bytes -------------------------------------------------------------------- */

/* The complete lines, until the talk is over. */
static void take_lines(struct ph_talk *talk)
{
    size_t at = 0;
    while (talk->source.fd >= 0) {
        char *from = talk->in.data + talk->in_seen;
        char *end = memchr(from, '\n', talk->in.length - talk->in_seen);
        if (!end)
            break;
        take_line(talk, talk->in.data + at, (size_t)(end - (talk->in.data + at)));
        at = talk->in_seen = (size_t)(end + 1 - talk->in.data);
    }
    talk->in.length -= at;
    if (talk->in.length == 0)
        empty(&talk->in);
    else if (at)
        memmove(talk->in.data, talk->in.data + at, talk->in.length);
    talk->in_seen = talk->in.length;
    if (talk->in.length > PH_LINE_BYTES_MAX && talk->source.fd >= 0)
        fail_invalid(talk, "a line is longer than 5 MiB");
}

/* One bounded read. False: nothing there, or it was the end. */
static bool hear(struct ph_talk *talk)
{
    char bytes[READ_BYTES];
    ssize_t got = recv(talk->source.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) {
        ph_text_append(&talk->in, bytes, (size_t)got);
        take_lines(talk);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        lose(talk);
    return false;
}

static void source_ready(struct ph_source *source, uint32_t events)
{
    struct ph_talk *talk = ph_container_of(source, struct ph_talk, source);
    if (events & EPOLLOUT)
        flush(talk);
    if (events & ~(uint32_t)EPOLLOUT)
        hear(talk);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void ph_talk_init(struct ph_talk *talk, struct ph_loop *loop, const struct ph_talk_calls *calls)
{
    *talk = (struct ph_talk){
        .calls = calls,
        .loop = loop,
        .source = {.fd = -1, .ready = source_ready},
        .hung = {.ring = hung},
    };
}

int ph_talk_open(struct ph_talk *talk, int fd)
{
    ph_assert(talk->state == PH_TALK_CLOSED);
    talk->wants_save = talk->ending = talk->blocked = false;
    ph_text_fini(&talk->saved);
    return ph_loop_add(talk->loop, &talk->source, fd, EPOLLIN);
}

void ph_talk_hear_out(struct ph_talk *talk)
{
    talk->ending = true;
    for (int i = 0; i < LAST_READS && talk->source.fd >= 0 && hear(talk); i++) {
        /* What it said before it ended counts. */
    }
}

struct ph_message_box *ph_talk_close(struct ph_talk *talk)
{
    struct ph_message_box *back = talk->box;
    ph_loop_remove(talk->loop, &talk->source);
    ph_alarm_cancel(&talk->hung);
    if (back && talk->box_begun) {
        ph_message_box_destroy(back, PH_EFAILED, "the child ended before it answered");
        back = NULL;
    }
    if (talk->state != PH_TALK_SAVED)
        ph_text_fini(&talk->saved); /* a part of it is none */
    talk->box = NULL;
    talk->state = PH_TALK_CLOSED;
    ph_text_fini(&talk->out);
    ph_text_fini(&talk->load);
    ph_text_fini(&talk->in);
    talk->out_at = talk->in_seen = 0;
    talk->state_verb = NULL;
    talk->merge = NULL;
    return back;
}
