/* Messages of one node to one child are handled in the order in which it sent them, once. See
 * cluster_mail.h. */
#include "engine/alloc.h"
#include "engine/base.h"
#include "engine/cluster_inside.h"

enum {
    TRACKS_MAX = 4096,     /* of one child, in a frame */
    RENEW_MS = 30 * 1000,  /* a stream that was not used for so long is replaced … */
    FORGET_MS = 60 * 1000, /* … and its track forgotten */
    SLOW_MS = 30 * 1000,   /* what is missing although nothing was lost is waited for so long */
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

/* The session with whom the last letter went to is gone, maybe with the letter. */
static bool has_lost_session(const struct ph_cluster *cluster, const struct ph_mail *mail)
{
    return mail->sent_to && cluster->members[mail->sent_to]->info.peer != mail->sent_peer;
}

/* May some of what this node has sent have been lost with a session, or a node? */
static bool has_broken(const struct ph_cluster *cluster, const struct ph_mail *mail)
{
    return mail->renewals != cluster->mail.renewals || has_lost_session(cluster, mail);
}

/* `follows`: what was sent in the one before is still on its way, or has come. */
static void begin_stream(struct ph_cluster *cluster, struct ph_mail *mail, bool follows)
{
    mail->after = follows ? mail->stream : 0;
    mail->after_sent = follows ? mail->sent : 0;
    mail->stream = ++cluster->next_token;
    mail->sent = 0;
    mail->renewals = cluster->mail.renewals;
}

void ph_order_stamp(struct ph_hub *hub, struct ph_mail *mail, struct ph_letter *letter,
                    const struct ph_member *to)
{
    struct ph_cluster *cluster = hub->cluster;
    if (!mail->stream || mail->sent_ms + RENEW_MS < hub->now_ms)
        begin_stream(cluster, mail, false);
    else if (has_broken(cluster, mail))
        begin_stream(cluster, mail, !has_lost_session(cluster, mail));
    letter->after = mail->after;
    letter->after_sent = mail->after_sent;
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

static struct ph_track *find_track(struct ph_mail *mail, uint64_t origin)
{
    for (struct ph_track *track = mail->tracks; track; track = track->next)
        if (track->origin == origin)
            return track;
    return NULL;
}

/* Where the child was started anew numbers before the first one that comes are on another way, or
 * were lost: they are handled when they come. */
static struct ph_track *add_track(struct ph_hub *hub, struct ph_mail *mail, uint64_t origin,
                                  uint64_t stream, uint64_t expected)
{
    struct ph_track *track = ph_alloc(sizeof *track);
    *track = (struct ph_track){
        .next = mail->tracks,
        .origin = origin,
        .stream = stream,
        .expected = expected,
        .skipped = mail->anew && expected > 1,
        .skipped_to = mail->anew ? expected : 0,
        .begun_ms = hub->now_ms,
        .used_ms = hub->now_ms,
    };
    mail->tracks = track;
    return track;
}

static void drop_track(struct ph_mail *mail, struct ph_track *track)
{
    struct ph_track **link = &mail->tracks;
    while (*link != track)
        link = &(*link)->next;
    *link = track->next;
    ph_free(track);
}

static void take_first_early(struct ph_mail *mail, struct ph_track *track, struct ph_letters *due)
{
    struct ph_letter *first = track->early;
    track->early = first->next;
    if (!track->early)
        track->early_last = NULL;
    mail->early--;
    ph_letters_add(due, first);
    ph_free(first);
}

static void renew_track(struct ph_hub *hub, struct ph_track *track, uint64_t stream)
{
    track->stream = stream;
    track->expected = 1;
    track->skipped = track->skipped_to = 0;
    track->begun_ms = hub->now_ms;
}

/* Each says how far the stream before its own went. */
static bool is_next(const struct ph_track *track, const struct ph_letter *letter)
{
    if (letter->stream == track->stream)
        return letter->number == track->expected;
    return letter->number == 1 && letter->after == track->stream &&
           letter->after_sent < track->expected;
}

static void count(struct ph_hub *hub, struct ph_track *track, const struct ph_letter *letter)
{
    if (track->stream != letter->stream)
        renew_track(hub, track, letter->stream);
    track->expected++;
}

/* Those whose turn it is now. */
static void advance(struct ph_hub *hub, struct ph_mail *mail, struct ph_track *track,
                    struct ph_letters *due)
{
    while (track->early && is_next(track, track->early)) {
        count(hub, track, track->early);
        take_first_early(mail, track, due);
    }
    track->since_ms = track->early ? hub->now_ms : 0;
}

static void give_up_gap(struct ph_hub *hub, struct ph_mail *mail, struct ph_track *track,
                        struct ph_letters *due)
{
    if (track->stream != track->early->stream)
        renew_track(hub, track, track->early->stream);
    if (!track->skipped)
        track->skipped = track->expected;
    track->expected = track->skipped_to = track->early->number;
    hub->cluster->mail.gaps++;
    advance(hub, mail, track, due);
}

static void drop_double(struct ph_hub *hub, const struct ph_letter *letter)
{
    hub->cluster->mail.doubled++;
    if (letter->box)
        ph_message_box_destroy(letter->box, PH_EGONE, "it came twice");
}

/* In the order in which their sender sent them. */
static bool is_before(const struct ph_letter *one, const struct ph_letter *other)
{
    return one->stream != other->stream ? one->stream < other->stream : one->number < other->number;
}

static void keep_early(struct ph_hub *hub, struct ph_mail *mail, struct ph_track *track,
                       const struct ph_letter *letter)
{
    struct ph_letter **link = track->early_last && is_before(track->early_last, letter)
                                  ? &track->early_last->next
                                  : &track->early;
    while (*link && is_before(*link, letter))
        link = &(*link)->next;
    if (*link && !is_before(letter, *link)) {
        drop_double(hub, letter);
        return;
    }
    struct ph_letter *copy = ph_alloc(sizeof *copy);
    *copy = *letter;
    copy->next = *link;
    *link = copy;
    if (!copy->next)
        track->early_last = copy;
    mail->early++;
    if (!track->since_ms)
        track->since_ms = hub->now_ms;
}

/* Nothing of its sender has come. A child that moved here, and is the sole one, has a track of all
 * that was handled: what the letter comes after is still on its way, since nobody knows when. */
static struct ph_track *begin_track(struct ph_hub *hub, struct ph_mail *mail,
                                    const struct ph_letter *letter)
{
    if (mail->anew || !mail->entry->sole || !letter->after)
        return add_track(hub, mail, letter->origin, letter->stream,
                         mail->anew ? letter->number : 1);
    return add_track(hub, mail, letter->origin, letter->after, 1);
}

static struct ph_track *track_for(struct ph_hub *hub, struct ph_mail *mail,
                                  const struct ph_letter *letter)
{
    struct ph_track *track = find_track(mail, letter->origin);
    if (!track)
        return begin_track(hub, mail, letter);
    track->used_ms = hub->now_ms;
    return track;
}

/* Is something of the streams before the letter's to be waited for? Not when it follows none. Of
 * one between that was not heard of here, it is if no other instance can have had it. */
static bool follows_on(const struct ph_mail *mail, const struct ph_track *track,
                       const struct ph_letter *letter)
{
    return letter->after == track->stream || (letter->after > track->stream && mail->entry->sole);
}

/* Nothing is waited for of the streams before that. */
static void begin_track_anew(struct ph_hub *hub, struct ph_mail *mail, struct ph_track *track,
                             uint64_t stream, struct ph_letters *due)
{
    while (track->early && track->early->stream < stream)
        give_up_gap(hub, mail, track, due);
    if (track->stream < stream)
        renew_track(hub, track, stream);
}

void ph_order_receive(struct ph_hub *hub, struct ph_mail *mail, const struct ph_letter *letter,
                      struct ph_letters *due)
{
    struct ph_track *track = track_for(hub, mail, letter);
    if (letter->stream > track->stream && !follows_on(mail, track, letter))
        begin_track_anew(hub, mail, track, letter->stream, due);
    bool late = letter->stream == track->stream && letter->number < track->expected;
    bool skipped = late && letter->number < track->skipped_to && letter->number >= track->skipped;
    if (letter->stream < track->stream || skipped) {
        ph_letters_add(due, letter); /* it had been given up */
    } else if (late) {
        drop_double(hub, letter);
    } else if (is_next(track, letter)) {
        count(hub, track, letter);
        ph_letters_add(due, letter);
        advance(hub, mail, track, due);
    } else {
        if (letter->stream != track->stream)
            track->begun_ms = 0; /* who or whatever made its sender begin anew may have lost some */
        keep_early(hub, mail, track, letter);
        while (mail->early > PH_MAILBOX_MAX && track->early)
            give_up_gap(hub, mail, track, due);
    }
}

bool ph_order_own_came(struct ph_hub *hub, struct ph_mail *mail)
{
    if (!mail->stream)
        return true;
    uint64_t origin = own_origin(hub->cluster);
    struct ph_track *track = find_track(mail, origin);
    if (!track)
        track = begin_track(hub, mail,
                            &(struct ph_letter){.origin = origin,
                                                .stream = mail->stream,
                                                .number = mail->sent + 1,
                                                .after = mail->after});
    if (track->stream != mail->stream || track->expected <= mail->sent || track->early) {
        if (!track->since_ms)
            track->since_ms = hub->now_ms;
        return false;
    }
    drop_track(mail, track);
    mail->stream = 0;
    return true;
}

/* Numbers of this node's own stream that are missing without a later one to show it. */
static void give_up_own(struct ph_hub *hub, struct ph_mail *mail, struct ph_track *track)
{
    track->since_ms = 0;
    if (track->origin != own_origin(hub->cluster))
        return;
    track->stream = mail->stream;
    track->expected = mail->sent + 1;
    hub->cluster->mail.gaps++;
}

static uint64_t slow_ms(const struct ph_cluster *cluster)
{
    return SLOW_MS > cluster->dead_after_ms ? SLOW_MS : cluster->dead_after_ms;
}

/* May what is missing have been lost? A loss from before the stream began, or long before anything
 * was missing, is none of its. */
static bool may_be_lost(const struct ph_cluster *cluster, const struct ph_mail *mail,
                        const struct ph_track *track)
{
    uint64_t lost_ms = cluster->mail.lost_ms;
    if (track->origin == own_origin(cluster) && has_broken(cluster, mail))
        return true;
    return lost_ms >= track->begun_ms && lost_ms + slow_ms(cluster) >= track->since_ms;
}

/* Until when what is missing is waited for. Where nothing was lost it comes: on a link that is
 * slow, or full, after longer than a node may be silent. */
static uint64_t patience_ms(const struct ph_cluster *cluster, const struct ph_mail *mail,
                            const struct ph_track *track)
{
    uint64_t late_ms = track->since_ms + slow_ms(cluster);
    if (!may_be_lost(cluster, mail, track))
        return late_ms;
    uint64_t lost_ms = cluster->mail.lost_ms;
    uint64_t from_ms = lost_ms > track->since_ms ? lost_ms : track->since_ms;
    return from_ms + cluster->dead_after_ms < late_ms ? from_ms + cluster->dead_after_ms : late_ms;
}

uint64_t ph_order_give_up(struct ph_hub *hub, struct ph_mail *mail, struct ph_letters *due)
{
    uint64_t next_ms = PH_NEVER;
    for (struct ph_track *track = mail->tracks; track; track = track->next) {
        if (!track->since_ms)
            continue;
        uint64_t until_ms = patience_ms(hub->cluster, mail, track);
        if (until_ms <= hub->now_ms) {
            if (track->early)
                give_up_gap(hub, mail, track, due);
            else
                give_up_own(hub, mail, track);
            until_ms = track->since_ms ? patience_ms(hub->cluster, mail, track) : PH_NEVER;
        }
        if (until_ms < next_ms)
            next_ms = until_ms;
    }
    return next_ms;
}

void ph_order_take_early(struct ph_mail *mail, struct ph_letters *letters)
{
    while (mail->tracks) {
        struct ph_track *track = mail->tracks;
        while (track->early)
            take_first_early(mail, track, letters);
        drop_track(mail, track);
    }
}

/* ---- Moves ------------------------------------------------------------------------------------
 */

static bool is_used(const struct ph_hub *hub, const struct ph_track *track)
{
    return track->early || track->used_ms + FORGET_MS >= hub->now_ms;
}

void ph_order_pack(const struct ph_hub *hub, const struct ph_mail *mail, struct ph_text *out)
{
    uint32_t count = 0;
    for (const struct ph_track *track = mail ? mail->tracks : NULL; track; track = track->next)
        count += is_used(hub, track) && count < TRACKS_MAX;
    ph_pack_array(out, count);
    for (const struct ph_track *track = mail ? mail->tracks : NULL; track && count;
         track = track->next) {
        if (!is_used(hub, track))
            continue;
        count--;
        ph_pack_uint(out, track->origin);
        ph_pack_uint(out, track->stream);
        ph_pack_uint(out, track->expected);
        ph_pack_uint(out, track->skipped);
        ph_pack_uint(out, track->skipped_to);
    }
}

/* One that was left here when the child went before knows less than the one that comes with it. */
static void take_track(struct ph_hub *hub, struct ph_mail *mail, const struct ph_track *comes)
{
    struct ph_track *track = find_track(mail, comes->origin);
    bool newer = track && !track->early &&
                 (track->stream < comes->stream ||
                  (track->stream == comes->stream && track->expected < comes->expected));
    if (track && !newer)
        return;
    if (!track)
        track = add_track(hub, mail, comes->origin, comes->stream, comes->expected);
    track->stream = comes->stream;
    track->expected = comes->expected;
    track->skipped = comes->skipped;
    track->skipped_to = comes->skipped_to;
}

bool ph_order_unpack(struct ph_hub *hub, struct ph_mail *mail, struct ph_unpack *frame)
{
    uint32_t count = ph_unpack_array(frame, TRACKS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct ph_track track = {.origin = ph_unpack_uint(frame, UINT64_MAX)};
        track.stream = ph_unpack_uint(frame, UINT64_MAX);
        track.expected = ph_unpack_uint(frame, UINT64_MAX);
        track.skipped = ph_unpack_uint(frame, UINT64_MAX);
        track.skipped_to = ph_unpack_uint(frame, UINT64_MAX);
        if (frame->broken)
            return false;
        if (mail)
            take_track(hub, mail, &track);
    }
    return !frame->broken;
}
