/*
 * fuzz_replay DIRECTORY: gives each file there to the fuzzer's entry, and a thousand variants of
 * it that follow from its bytes. For machines without libFuzzer, and as a test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "engine/alloc.h"
#include "engine/prng.h"

enum { BYTES_MAX = 8192, VARIANTS = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_variants(const uint8_t *data, size_t size, uint64_t seed)
{
    struct ph_prng prng;
    uint8_t *copy = ph_alloc(size + 1);
    ph_prng_init(&prng, seed);
    for (int i = 0; i < VARIANTS && size; i++) {
        memcpy(copy, data, size);
        for (uint64_t changes = 1 + ph_prng_below(&prng, 4); changes; changes--)
            copy[ph_prng_below(&prng, size)] = (uint8_t)ph_prng_next(&prng);
        LLVMFuzzerTestOneInput(copy, size - ph_prng_below(&prng, 4) % size);
    }
    ph_free(copy);
}

static int run_file(const char *directory, const char *name)
{
    static uint8_t data[BYTES_MAX];
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    run_variants(data, size, size);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    if (!directory) {
        fprintf(stderr, "usage: fuzz_replay DIRECTORY\n");
        return 2;
    }
    int files = 0, faults = 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        files++;
        faults += run_file(argv[1], entry->d_name);
    }
    closedir(directory);
    printf("%d files, %d variants of each\n", files, VARIANTS);
    return files == 0 || faults;
}
