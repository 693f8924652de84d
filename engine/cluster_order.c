/* Messages of one node to one child are handled in the order in which it sent them, once. See
 * cluster_mail.h. */
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"

enum {
    LANES_MAX = 4096,      /* of one child, in a frame */
    RENEW_MS = 30 * 1000,  /* a stream that was not used for so long is replaced … */
    FORGET_MS = 60 * 1000, /* … and its lane forgotten */
};

/* ---- Lists ----------------------------------------------------------------------------------- */

void ph_letters_init(struct ph_letters *letters)
{
    *letters = (struct ph_letters){.last = &letters->first};
}

void ph_letters_add(struct ph_letters *letters, const struct ph_letter *letter)
{
    struct ph_letter *copy = ph_alloc(sizeof *copy);
    *copy = *letter;
    copy->next = NULL;
    *letters->last = copy;
    letters->last = &copy->next;
    letters->count++;
}

bool ph_letters_take(struct ph_letters *letters, struct ph_letter *letter)
{
    struct ph_letter *first = letters->first;
    if (!first)
        return false;
    letters->first = first->next;
    if (!letters->first)
        letters->last = &letters->first;
    letters->count--;
    *letter = *first;
    ph_free(first);
    return true;
}

/* ---- Streams ----------------------------------------------------------------------------------
 */

/* Who sends: a hub's life on a node. */
static uint64_t own_origin(const struct ph_cluster *cluster)
{
    return (cluster->members[0]->info.name_hash ^
            cluster->generation * UINT64_C(0x9e3779b97f4a7c15)) |
           1;
}

/* May what it has sent have been lost with a session? */
static bool has_broken(const struct ph_cluster *cluster, const struct ph_mail *mail)
{
    return mail->sent_to && cluster->members[mail->sent_to]->info.peer != mail->sent_peer;
}

void ph_order_stamp(struct ph_hub *hub, struct ph_mail *mail, struct ph_letter *letter,
                    const struct ph_member *to)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!mail->stream || has_broken(cluster, mail) || mail->sent_ms + RENEW_MS < hub->now_ms) {
        mail->stream = ++cluster->next_token;
        mail->sent = 0;
    }
    letter->origin = own_origin(cluster);
    letter->stream = mail->stream;
    letter->number = ++mail->sent;
    mail->sent_ms = hub->now_ms;
    if (!to)
        return;
    mail->sent_to = to->slot;
    mail->sent_peer = to->info.peer;
}

/* ---- Lanes ------------------------------------------------------------------------------------
 */

static struct ph_mail_lane *find_lane(struct ph_mail *mail, uint64_t origin)
{
    for (struct ph_mail_lane *lane = mail->lanes; lane; lane = lane->next)
        if (lane->origin == origin)
            return lane;
    return NULL;
}

static struct ph_mail_lane *add_lane(struct ph_hub *hub, struct ph_mail *mail, uint64_t origin,
                                     uint64_t stream, uint64_t expected)
{
    struct ph_mail_lane *lane = ph_alloc(sizeof *lane);
    *lane = (struct ph_mail_lane){
        .next = mail->lanes,
        .origin = origin,
        .stream = stream,
        .expected = expected,
        .used_ms = hub->now_ms,
    };
    mail->lanes = lane;
    return lane;
}

static void drop_lane(struct ph_mail *mail, struct ph_mail_lane *lane)
{
    struct ph_mail_lane **link = &mail->lanes;
    while (*link != lane)
        link = &(*link)->next;
    *link = lane->next;
    ph_free(lane);
}

static void take_first_early(struct ph_mail *mail, struct ph_mail_lane *lane,
                             struct ph_letters *due)
{
    struct ph_letter *first = lane->early;
    lane->early = first->next;
    mail->early--;
    ph_letters_add(due, first);
    ph_free(first);
}

/* Those whose turn it is now. */
static void advance(struct ph_hub *hub, struct ph_mail *mail, struct ph_mail_lane *lane,
                    struct ph_letters *due)
{
    while (lane->early && lane->early->number == lane->expected) {
        take_first_early(mail, lane, due);
        lane->expected++;
    }
    lane->since_ms = lane->early ? hub->now_ms : 0;
}

static void give_up_gap(struct ph_hub *hub, struct ph_mail *mail, struct ph_mail_lane *lane,
                        struct ph_letters *due)
{
    if (!lane->skipped)
        lane->skipped = lane->expected;
    lane->expected = lane->early->number;
    hub->cluster->mail.gaps++;
    advance(hub, mail, lane, due);
}

/* The sender has begun another stream: what is missing of the one before does not come any more. */
static void renew_lane(struct ph_hub *hub, struct ph_mail *mail, struct ph_mail_lane *lane,
                       uint64_t stream, struct ph_letters *due)
{
    while (lane->early)
        give_up_gap(hub, mail, lane, due);
    lane->stream = stream;
    lane->expected = 1;
    lane->skipped = 0;
}

static void keep_early(struct ph_hub *hub, struct ph_mail *mail, struct ph_mail_lane *lane,
                       const struct ph_letter *letter)
{
    struct ph_letter **link = &lane->early;
    while (*link && (*link)->number < letter->number)
        link = &(*link)->next;
    struct ph_letter *copy = ph_alloc(sizeof *copy);
    *copy = *letter;
    copy->next = *link;
    *link = copy;
    mail->early++;
    if (!lane->since_ms)
        lane->since_ms = hub->now_ms;
}

static struct ph_mail_lane *lane_for(struct ph_hub *hub, struct ph_mail *mail,
                                     const struct ph_letter *letter, struct ph_letters *due)
{
    struct ph_mail_lane *lane = find_lane(mail, letter->origin);
    if (!lane)
        return add_lane(hub, mail, letter->origin, letter->stream, mail->anew ? letter->number : 1);
    if (lane->stream < letter->stream)
        renew_lane(hub, mail, lane, letter->stream, due);
    lane->used_ms = hub->now_ms;
    return lane;
}

void ph_order_receive(struct ph_hub *hub, struct ph_mail *mail, const struct ph_letter *letter,
                      struct ph_letters *due)
{
    struct ph_mail_lane *lane = lane_for(hub, mail, letter, due);
    bool late = letter->stream == lane->stream && letter->number < lane->expected;
    if (letter->stream < lane->stream ||
        (late && lane->skipped && letter->number >= lane->skipped)) {
        ph_letters_add(due, letter); /* it had been given up */
    } else if (late) {
        hub->cluster->mail.doubled++;
        if (letter->box)
            ph_message_box_destroy(letter->box, PH_EGONE, "it came twice");
    } else if (letter->number > lane->expected) {
        keep_early(hub, mail, lane, letter);
        while (mail->early > PH_MAILBOX_MAX && lane->early)
            give_up_gap(hub, mail, lane, due);
    } else {
        ph_letters_add(due, letter);
        lane->expected++;
        advance(hub, mail, lane, due);
    }
}

bool ph_order_own_came(struct ph_hub *hub, struct ph_mail *mail)
{
    if (!mail->stream)
        return true;
    uint64_t origin = own_origin(hub->cluster);
    struct ph_mail_lane *lane = find_lane(mail, origin);
    if (!lane)
        lane = add_lane(hub, mail, origin, mail->stream, mail->anew ? mail->sent + 1 : 1);
    if (lane->stream != mail->stream || lane->expected <= mail->sent) {
        if (!lane->since_ms)
            lane->since_ms = hub->now_ms;
        return false;
    }
    drop_lane(mail, lane);
    mail->stream = 0;
    return true;
}

/* Numbers of this node's own stream that are missing without a later one to show it. */
static void give_up_own(struct ph_hub *hub, struct ph_mail *mail, struct ph_mail_lane *lane)
{
    lane->since_ms = 0;
    if (lane->origin != own_origin(hub->cluster))
        return;
    lane->stream = mail->stream;
    lane->expected = mail->sent + 1;
    hub->cluster->mail.gaps++;
}

uint64_t ph_order_give_up(struct ph_hub *hub, struct ph_mail *mail, struct ph_letters *due)
{
    uint64_t next_ms = PH_NEVER;
    for (struct ph_mail_lane *lane = mail->lanes; lane; lane = lane->next) {
        if (!lane->since_ms)
            continue;
        uint64_t until_ms = lane->since_ms + hub->cluster->dead_after_ms;
        if (until_ms <= hub->now_ms) {
            if (lane->early)
                give_up_gap(hub, mail, lane, due);
            else
                give_up_own(hub, mail, lane);
            until_ms = lane->since_ms ? lane->since_ms + hub->cluster->dead_after_ms : PH_NEVER;
        }
        if (until_ms < next_ms)
            next_ms = until_ms;
    }
    return next_ms;
}

void ph_order_take_early(struct ph_mail *mail, struct ph_letters *letters)
{
    while (mail->lanes) {
        struct ph_mail_lane *lane = mail->lanes;
        while (lane->early)
            take_first_early(mail, lane, letters);
        drop_lane(mail, lane);
    }
}

/* ---- Moves ------------------------------------------------------------------------------------
 */

static bool is_used(const struct ph_hub *hub, const struct ph_mail_lane *lane)
{
    return lane->early || lane->used_ms + FORGET_MS >= hub->now_ms;
}

void ph_order_pack(const struct ph_hub *hub, const struct ph_mail *mail, struct ph_text *out)
{
    uint32_t count = 0;
    for (const struct ph_mail_lane *lane = mail ? mail->lanes : NULL; lane; lane = lane->next)
        count += is_used(hub, lane) && count < LANES_MAX;
    ph_pack_array(out, count);
    for (const struct ph_mail_lane *lane = mail ? mail->lanes : NULL; lane && count;
         lane = lane->next) {
        if (!is_used(hub, lane))
            continue;
        count--;
        ph_pack_uint(out, lane->origin);
        ph_pack_uint(out, lane->stream);
        ph_pack_uint(out, lane->expected);
    }
}

bool ph_order_unpack(struct ph_hub *hub, struct ph_mail *mail, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, LANES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t origin = ph_unpack_uint(frame, UINT64_MAX);
        uint64_t stream = ph_unpack_uint(frame, UINT64_MAX);
        uint64_t expected = ph_unpack_uint(frame, UINT64_MAX);
        if (frame->broken)
            return false;
        if (mail && !find_lane(mail, origin))
            add_lane(hub, mail, origin, stream, expected);
    }
    return !frame->broken;
}
