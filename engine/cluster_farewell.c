/* The last letters: a node that leaves waits until all that others have sent to children here has
 * come and gone on. See cluster_mail.h. */
#include "engine/cluster_inside.h"

/* Behind all rows that say that nothing is here any more, so what it answers is behind all letters
 * that it sent before it knew. */
static bool bids_farewell(struct ph_hub *hub, struct ph_member *member)
{
    struct ph_text *records = &member->mail.records;
    if (!ph_member_is_linked(member) || member->bade_farewell)
        return true;
    if (member->farewell || member->sent_hi < ph_directory_log_hi(hub->directory))
        return false;
    member->farewell = ++hub->cluster->next_token;
    ph_letter_pack_head(records, &(struct ph_letter){0}, "", 0);
    ph_pack_uint(records, member->farewell);
    ph_pack_nil(records);
    member->mail.count++;
    return false;
}

static void forget_farewell(struct ph_member *member)
{
    member->bade_farewell = false;
    member->farewell = 0;
}

bool ph_mail_has_ended(struct ph_hub *hub)
{
    struct ph_cluster *cluster = hub->cluster;
    bool ended = !cluster->mail.parting && !cluster->mail.parted;
    if (!ended)
        return false;
    if (!cluster->mail.farewell_ms)
        cluster->mail.farewell_ms = hub->now_ms;
    for (uint16_t slot = 1; slot < cluster->count; slot++)
        ended &= bids_farewell(hub, cluster->members[slot]);
    for (const struct ph_mail *mail = cluster->mail.mails; mail; mail = mail->next)
        ended &= !mail->waiting.first;
    ended |= hub->now_ms >= cluster->mail.farewell_ms + cluster->dead_after_ms;
    for (uint16_t slot = 1; ended && slot < cluster->count; slot++)
        forget_farewell(cluster->members[slot]);
    if (ended)
        cluster->mail.farewell_ms = 0;
    return ended;
}

void ph_mail_answer_farewell(struct ph_member *member, uint64_t token)
{
    struct ph_text *records = &member->answers.records;
    ph_pack_uint(records, token);
    ph_pack_uint(records, 0);
    ph_pack_str(records, "", 0);
    ph_pack_bin(records, "", 0);
    member->answers.count++;
}
