#include "tests/lib/fakedisk.h"

#include <string.h>

#include "engine/alloc.h"

static void add(struct fakedisk_list *list, const struct ph_text *record)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->records = ph_realloc(list->records, list->capacity * sizeof *list->records);
    }
    list->records[list->count] = PH_TEXT_INIT;
    ph_text_append(&list->records[list->count++], record->data, record->length);
}

static void cut(struct fakedisk_list *list, size_t count)
{
    while (list->count > count)
        ph_text_fini(&list->records[--list->count]);
}

static void fini(struct fakedisk_list *list)
{
    cut(list, 0);
    ph_free(list->records);
    *list = (struct fakedisk_list){0};
}

void fakedisk_fini(struct fakedisk *disk)
{
    fini(&disk->kept);
    fini(&disk->fresh);
    *disk = (struct fakedisk){0};
}

static void forget_emptied(struct fakedisk *disk)
{
    struct fakedisk_list *list = &disk->kept;
    for (size_t i = 0; i < disk->emptied; i++)
        ph_text_fini(&list->records[i]);
    list->count -= disk->emptied;
    if (disk->emptied)
        memmove(list->records, list->records + disk->emptied, list->count * sizeof *list->records);
    disk->emptied = 0;
}

static void replace(struct fakedisk *disk)
{
    fini(&disk->kept);
    disk->kept = disk->fresh;
    disk->fresh = (struct fakedisk_list){0};
    disk->emptied = 0;
    disk->synced = disk->kept.count;
    disk->bytes = 0;
    for (size_t i = 0; i < disk->kept.count; i++)
        disk->bytes += disk->kept.records[i].length;
    disk->renewed = true;
}

static void carry_out(struct fakedisk *disk, enum ph_journal_verb verb,
                      const struct ph_text *record)
{
    switch (verb) {
    case PH_JOURNAL_APPEND:
        add(&disk->kept, record);
        add(&disk->fresh, record);
        disk->bytes += record->length;
        break;
    case PH_JOURNAL_RENEW:
        cut(&disk->fresh, 0);
        break;
    case PH_JOURNAL_COPY:
        add(&disk->fresh, record);
        break;
    case PH_JOURNAL_REPLACE:
        replace(disk);
        break;
    case PH_JOURNAL_EMPTY:
        disk->emptied = disk->kept.count;
        disk->bytes = 0;
        break;
    }
}

void fakedisk_call(struct fakedisk *disk, enum ph_journal_verb verb, struct ph_journal_mark mark,
                   struct ph_text *record)
{
    if (verb == PH_JOURNAL_RENEW && !(disk->owes && disk->code)) /* else the hub is told first */
        disk->failed = false;
    if (!disk->failed) {
        disk->owes = true;
        disk->done = mark;
        disk->failed = disk->fails;
        disk->code = disk->fails ? PH_EFAILED : 0;
        if (!disk->fails)
            carry_out(disk, verb, record);
    }
    if (record)
        ph_text_fini(record);
}

struct ph_event *fakedisk_sync(struct fakedisk *disk)
{
    if (!disk->owes)
        return NULL;
    struct ph_event *event = ph_event_create(PH_EVENT_JOURNAL);
    event->journal.code = disk->code;
    event->journal.text = disk->code ? ph_copy_text("the disk is full", 16) : NULL;
    event->journal.done = disk->done;
    event->journal.renewed = disk->renewed;
    event->journal.bytes = disk->bytes;
    if (!disk->code) {
        forget_emptied(disk);
        disk->synced = disk->kept.count;
    }
    disk->owes = disk->renewed = false;
    return event;
}

void fakedisk_crash(struct fakedisk *disk, size_t unsynced)
{
    if (unsynced < disk->kept.count - disk->synced)
        cut(&disk->kept, disk->synced + unsynced);
    else
        forget_emptied(disk);
    disk->emptied = 0;
    disk->synced = disk->kept.count;
    cut(&disk->fresh, 0);
    disk->failed = disk->owes = disk->renewed = false;
}

void fakedisk_lose(struct fakedisk *disk)
{
    bool fails = disk->fails;
    fakedisk_fini(disk);
    disk->fails = fails;
}

struct ph_event *fakedisk_read(const struct fakedisk *disk, size_t number)
{
    if (number > disk->kept.count)
        return NULL;
    struct ph_event *event = ph_event_create(PH_EVENT_JOURNAL);
    if (number < disk->kept.count) {
        const struct ph_text *record = &disk->kept.records[number];
        ph_text_append(&event->journal.record, record->data, record->length);
    } else {
        event->journal.last = true;
        event->journal.bytes = disk->bytes;
    }
    return event;
}
