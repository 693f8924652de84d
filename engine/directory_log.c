#include "engine/directory_log.h"

#include "engine/alloc.h"
#include "engine/directory_inside.h"

enum { REMOVALS_OF_A_READER = 512 /* the rest goes later */ };

static void log_unlink(struct ph_directory *directory, struct ph_own *own)
{
    for (unsigned i = 0; i < directory->reader_count; i++)
        if (directory->cursor[directory->readers[i]] == own)
            directory->cursor[directory->readers[i]] = own->next;
    *(own->before ? &own->before->next : &directory->log_first) = own->next;
    *(own->next ? &own->next->before : &directory->log_last) = own->before;
}

static void log_append(struct ph_directory *directory, struct ph_own *own)
{
    own->number = ++directory->log_hi;
    own->next = NULL;
    own->before = directory->log_last;
    *(own->before ? &own->before->next : &directory->log_first) = own;
    directory->log_last = own;
    for (unsigned i = 0; i < directory->reader_count; i++)
        if (!directory->cursor[directory->readers[i]])
            directory->cursor[directory->readers[i]] = own;
}

static void gone_unlink(struct ph_directory *directory, struct ph_own *own)
{
    *(own->gone_before ? &own->gone_before->gone_next : &directory->gone_first) = own->gone_next;
    *(own->gone_next ? &own->gone_next->gone_before : &directory->gone_last) = own->gone_before;
    own->gone_next = own->gone_before = NULL;
}

static void gone_append(struct ph_directory *directory, struct ph_own *own)
{
    own->gone_next = NULL;
    own->gone_before = directory->gone_last;
    *(own->gone_before ? &own->gone_before->gone_next : &directory->gone_first) = own;
    directory->gone_last = own;
}

void ph_directory_log_change(struct ph_directory *directory, struct ph_entry *entry,
                             struct ph_placement *placement)
{
    struct ph_own *own = entry->own;
    if (!own) {
        own = entry->own = ph_alloc(sizeof *own);
        own->entry = entry;
    } else {
        if (!own->placement)
            gone_unlink(directory, own);
        log_unlink(directory, own);
    }
    own->placement = placement;
    uint64_t epoch =
        placement ? atomic_load_explicit(&placement->epoch, memory_order_relaxed) : own->epoch;
    if (epoch != own->epoch)
        own->moved_to = own->moved_life = 0;
    own->epoch = epoch;
    log_append(directory, own);
    if (!placement)
        gone_append(directory, own);
}

void ph_directory_log_moved(struct ph_entry *entry, uint64_t to, uint64_t life)
{
    if (!entry->own)
        return;
    entry->own->moved_to = to;
    entry->own->moved_life = life;
}

uint64_t ph_directory_log_hi(const struct ph_directory *directory)
{
    return directory->log_hi;
}

uint64_t ph_directory_log_floor(const struct ph_directory *directory)
{
    return directory->log_floor;
}

static bool reads_log(const struct ph_directory *directory, uint16_t member)
{
    for (unsigned i = 0; i < directory->reader_count; i++)
        if (directory->readers[i] == member)
            return true;
    return false;
}

void ph_directory_log_seek(struct ph_directory *directory, uint16_t member, uint64_t number)
{
    struct ph_own *first = directory->log_first, *last = directory->log_last;
    if (!reads_log(directory, member))
        directory->readers[directory->reader_count++] = member;
    directory->sought[member] = 0;
    if (!last || last->number <= number)
        directory->cursor[member] = NULL;
    else if (first->number > number)
        directory->cursor[member] = first;
    else {
        directory->cursor[member] = last;
        directory->sought[member] = number;
    }
}

bool ph_directory_log_find(struct ph_directory *directory, uint16_t member, unsigned limit)
{
    struct ph_own **next = &directory->cursor[member];
    uint64_t *sought = &directory->sought[member];
    for (; *sought && limit; limit--) {
        if ((*next)->before && (*next)->before->number > *sought)
            *next = (*next)->before;
        else
            *sought = 0;
    }
    return !*sought;
}

/* Up to which number nothing is of use any more to a reader. */
static uint64_t passed_by(const struct ph_directory *directory, uint16_t member)
{
    const struct ph_own *next = directory->cursor[member];
    if (directory->sought[member])
        return directory->sought[member];
    return next ? next->number - 1 : UINT64_MAX;
}

bool ph_directory_log_purge(struct ph_directory *directory, unsigned limit)
{
    uint64_t passed = UINT64_MAX;
    for (unsigned i = 0; i < directory->reader_count; i++) {
        uint64_t by = passed_by(directory, directory->readers[i]);
        if (by < passed)
            passed = by;
    }
    while (directory->gone_first && directory->gone_first->number <= passed) {
        struct ph_own *own = directory->gone_first;
        if (limit-- == 0)
            return true;
        directory->log_floor = own->number;
        gone_unlink(directory, own);
        log_unlink(directory, own);
        own->entry->own = NULL;
        ph_free(own);
    }
    return false;
}

void ph_directory_log_close(struct ph_directory *directory, uint16_t member)
{
    for (unsigned i = 0; i < directory->reader_count; i++)
        if (directory->readers[i] == member)
            directory->readers[i--] = directory->readers[--directory->reader_count];
    directory->cursor[member] = NULL;
    directory->sought[member] = 0;
    ph_directory_log_purge(directory, REMOVALS_OF_A_READER);
}

bool ph_directory_log_next(struct ph_directory *directory, uint16_t member,
                           struct ph_log_entry *next)
{
    struct ph_own *own = directory->cursor[member];
    if (!own || directory->sought[member])
        return false;
    *next = (struct ph_log_entry){
        .number = own->number,
        .entry = own->entry,
        .placement = own->placement,
        .epoch = own->epoch,
        .moved_to = own->moved_to,
        .moved_life = own->moved_life,
    };
    directory->cursor[member] = own->next;
    return true;
}

bool ph_directory_log_at_end(const struct ph_directory *directory, uint16_t member)
{
    return directory->cursor[member] == NULL;
}
