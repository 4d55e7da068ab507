#include "budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"

static long larger(long a, long b) {
    return a > b ? a : b;
}

// The largest value behind "key=" in a text of statistics, which may tell of several forms of one kernel (Intel's
// driver compiles for several subgroup sizes and chooses when it runs); -1 if it is not there.
static long statistic(const char *text, const char *key) {
    long largest = -1;
    for (const char *at = text; (at = strstr(at, key)); at += strlen(key))
        largest = larger(largest, strtol(at + strlen(key), NULL, 10));
    return largest;
}

budget budget_of(const char *statistics) {
    budget found = {.registers = -1};
    long vgprs = statistic(statistics, " VGPRs=");
    if (vgprs >= 0) found.registers = (vgprs + 7) / 8 * 8;
    found.spills = larger(statistic(statistics, "Spilled_VGPRs="), statistic(statistics, "Spill_Count="));
    found.shared = larger(statistic(statistics, "LDS_size="), statistic(statistics, "Workgroup_Memory_Size="));
    return found;
}

static bool append(budget **list, size_t *n, size_t *capacity, const budget *one) {
    if (!vks_grow((void **)list, capacity, *n + 1, sizeof **list)) return false;
    (*list)[(*n)++] = *one;
    return true;
}

static bool read_line(budget_file *file, const char *line) {
    budget one;
    char rest;
    if (line[0] == '#' || line[0] == '\n') return true;
    if (sscanf(line, "mesa %127[^\n]", file->versions) == 1) return true;
    if (sscanf(line, "%47s %u %ld %ld %ld %c", one.variant, &one.subgroup_size, &one.registers, &one.spills,
               &one.shared, &rest) != 5) {
        printf("%s: expected \"variant subgroup-size registers spills shared-bytes\", found %s", file->path, line);
        return false;
    }
    return append(&file->lines, &file->n_line, &file->line_capacity, &one);
}

bool budget_read(const char *folder, const char *family, budget_file *file) {
    memset(file, 0, sizeof *file);
    snprintf(file->path, sizeof file->path, "%s/%s.txt", folder ? folder : ".", family);
    FILE *stream = fopen(file->path, "r");
    if (!stream) return true;
    char line[256];
    bool good = true;
    while (fgets(line, sizeof line, stream))
        good &= read_line(file, line);
    fclose(stream);
    return good;
}

static budget *find(budget *list, size_t n, const budget *one) {
    for (size_t i = 0; i < n; i++)
        if (list[i].subgroup_size == one->subgroup_size && strcmp(list[i].variant, one->variant) == 0) return &list[i];
    return NULL;
}

bool budget_count(budget_file *file, const budget *found) {
    budget *same = find(file->found, file->n_found, found);
    if (!same) return append(&file->found, &file->n_found, &file->found_capacity, found);
    same->registers = larger(same->registers, found->registers);
    same->spills = larger(same->spills, found->spills);
    same->shared = larger(same->shared, found->shared);
    return false;
}

// Whether "Mesa 22.3.6" is of one of the versions "22.3 25.0".
static bool is_recorded(const char *versions, const char *driver) {
    const char *mesa = strstr(driver, "Mesa ");
    int major, minor, n, recorded_major, recorded_minor;
    if (!mesa || sscanf(mesa, "Mesa %d.%d", &major, &minor) != 2) return false;
    for (; sscanf(versions, "%d.%d%n", &recorded_major, &recorded_minor, &n) == 2; versions += n)
        if (major == recorded_major && minor == recorded_minor) return true;
    return false;
}

int budget_check(const budget_file *file, const char *driver) {
    bool recorded = is_recorded(file->versions, driver);
    int n_bad = 0;
    if (!recorded)
        printf("  %s: %s is none of the recorded versions (mesa %s); only spills are checked\n", file->path, driver,
               file->versions);
    for (size_t i = 0; i < file->n_found; i++) {
        const budget *found = &file->found[i], *allowed = find(file->lines, file->n_line, found);
        bool above =
            allowed && (found->spills > allowed->spills ||
                        (recorded && (found->registers > allowed->registers || found->shared > allowed->shared)));
        if (allowed && !above) continue;
        if (above)
            printf("  %s: above its budget of %ld registers, %ld spills, %ld bytes; if it has to be, its line is\n",
                   found->variant, allowed->registers, allowed->spills, allowed->shared);
        else
            printf("  %s: no budget; the line to add to %s is\n", found->variant, file->path);
        printf("budget: %s %u %ld %ld %ld\n", found->variant, found->subgroup_size, found->registers, found->spills,
               found->shared);
        n_bad++;
    }
    return n_bad;
}

void budget_free(budget_file *file) {
    vks_free(file->lines);
    vks_free(file->found);
}
