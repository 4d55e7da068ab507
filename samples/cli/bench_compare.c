#include "bench_compare.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

static const double least_change = 0.01, n_deviation = 3;

// ---- records -------------------------------------------------------------------------------------------------------

static void free_record(bench_record *record) {
    free(record->name);
    free(record->device);
    *record = (bench_record){0};
}

void bench_free(bench_records *records) {
    for (size_t i = 0; i < records->n; i++)
        free_record(&records->items[i]);
    free(records->items);
    *records = (bench_records){0};
}

static bench_record *find(const bench_records *records, const char *name) {
    for (size_t i = 0; i < records->n; i++)
        if (strcmp(records->items[i].name, name) == 0) return &records->items[i];
    return NULL;
}

// Takes what the record holds, also when it fails.
static bool add(bench_records *records, bench_record *record) {
    bench_record *same = record->name && record->device ? find(records, record->name) : NULL;
    if (same) { // another run of it
        double least = fmin(same->least_ns, record->median_ns), most = fmax(same->most_ns, record->median_ns);
        free_record(same);
        *same = *record;
        same->least_ns = least;
        same->most_ns = most;
        same->median_ns = 0.5 * (least + most);
        return true;
    }
    record->least_ns = record->most_ns = record->median_ns;
    if (records->n == records->capacity && record->name && record->device) {
        size_t capacity = records->capacity ? 2 * records->capacity : 64;
        bench_record *items = realloc(records->items, capacity * sizeof *items);
        if (items) {
            records->items = items;
            records->capacity = capacity;
        }
    }
    if (!record->name || !record->device || records->n == records->capacity) {
        free_record(record);
        return false;
    }
    records->items[records->n++] = *record;
    return true;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static char *device_text(const char *name, const char *driver) {
    size_t size = strlen(name) + strlen(driver) + 3;
    char *text = malloc(size);
    if (text) snprintf(text, size, "%s, %s", name, driver);
    return text;
}

bool bench_add(bench_records *records, const vkssm_bench_result *result, const vkssm_device_info *info) {
    bench_record record = {
        .name = copy_text(result->name),
        .median_ns = result->median_ns,
        .spread = result->spread,
        .n_sample = result->n_sample,
        .device = device_text(info->name, info->driver),
    };
    memcpy(record.quarter_ns, result->quarter_ns, sizeof record.quarter_ns);
    return add(records, &record);
}

// ---- files ---------------------------------------------------------------------------------------------------------

// A finite number that is not negative.
static bool get_number(const json_t *object, const char *key, double *out) {
    const json_t *value = json_object_get(object, key);
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0 && *out <= 1e300;
}

// NULL, or what was expected of the line.
static const char *read_object(const json_t *object, bench_records *out) {
    if (!json_is_object(object)) return "a JSON object";
    const char *name = json_string_value(json_object_get(object, "name")),
               *device = json_string_value(json_object_get(object, "device")),
               *driver = json_string_value(json_object_get(object, "driver"));
    if (!name) return "the text \"name\"";
    if (json_object_get(object, "skipped")) return NULL;
    if (!device || !driver) return "the texts \"device\" and \"driver\"";
    bench_record record = {0};
    if (!get_number(object, "median_ns", &record.median_ns) || record.median_ns == 0)
        return "a number \"median_ns\" above 0";
    if (!get_number(object, "spread", &record.spread)) return "a number \"spread\" of at least 0";
    if (!get_number(object, "samples", &record.n_sample) || record.n_sample < 1)
        return "a number \"samples\" of at least 1";
    const json_t *quarters = json_object_get(object, "quarter_ns");
    if (quarters && json_array_size(quarters) != 4) return "four numbers in \"quarter_ns\"";
    for (size_t i = 0; quarters && i < 4; i++)
        record.quarter_ns[i] = json_number_value(json_array_get(quarters, i));
    record.name = copy_text(name);
    record.device = device_text(device, driver);
    return add(out, &record) ? NULL : "memory";
}

// Whether something other than white space follows; the file is then at its beginning.
static bool has_more(FILE *file) {
    int c;
    do
        c = getc(file);
    while (c == ' ' || c == '\t' || c == '\r' || c == '\n');
    if (c != EOF) ungetc(c, file);
    return c != EOF;
}

static int read_objects(const char *path, FILE *file, bench_records *out) {
    for (size_t i = 1; has_more(file); i++) {
        json_error_t error;
        json_t *object = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);
        if (!object) return cli_fail("%s: case %zu: a JSON object expected, found: %s", path, i, error.text);
        const char *expected = read_object(object, out);
        json_decref(object);
        if (expected) return cli_fail("%s: case %zu: %s expected, not found", path, i, expected);
    }
    if (ferror(file)) return cli_fail("%s: cannot read the file: %s", path, strerror(errno));
    if (!out->n) return cli_fail("%s: at least one measured case expected, none found", path);
    return CLI_OK;
}

int bench_read(const char *path, bench_records *out) {
    *out = (bench_records){0};
    FILE *file = fopen(path, "rb");
    if (!file) return cli_fail("%s: cannot open the file: %s", path, strerror(errno));
    int status = read_objects(path, file, out);
    fclose(file);
    return status;
}

// ---- comparing -----------------------------------------------------------------------------------------------------

// Of a normal distribution.
static const double quartiles_in_sigma = 1.349, median_error_in_sigma = 1.2533;

double bench_uncertainty(const bench_record *record) {
    double sigma = 2 * record->spread / quartiles_in_sigma,
           sampling = median_error_in_sigma * sigma / sqrt(record->n_sample);
    double least = record->quarter_ns[0], most = least;
    for (int i = 1; i < 4; i++) {
        if (record->quarter_ns[i] < least) least = record->quarter_ns[i];
        if (record->quarter_ns[i] > most) most = record->quarter_ns[i];
    }
    double drift = 0.5 * (most - least) / record->median_ns;
    double between = 0.5 * (record->most_ns - record->least_ns) / record->median_ns;
    return sqrt(sampling * sampling + drift * drift + between * between);
}

bench_verdict bench_compare(const bench_record *before, const bench_record *now) {
    double u = bench_uncertainty(before), v = bench_uncertainty(now), allowed = n_deviation * sqrt(u * u + v * v);
    double change = log(now->median_ns / before->median_ns);
    if (allowed < least_change) allowed = least_change;
    return change > allowed ? BENCH_SLOWER : change < -allowed ? BENCH_FASTER : BENCH_SAME;
}

static void print_pair(const bench_record *before, const bench_record *now, bench_verdict verdict) {
    static const char *const verdicts[] = {"", "faster", "SLOWER"};
    double u = bench_uncertainty(before), v = bench_uncertainty(now);
    printf("%-46s %12.0f %12.0f %+8.1f %% %7.1f %%  %s\n", now->name, before->median_ns, now->median_ns,
           100 * (now->median_ns / before->median_ns - 1), 100 * n_deviation * sqrt(u * u + v * v), verdicts[verdict]);
}

int bench_print_comparison(const char *path, const bench_records *before, const bench_records *now) {
    size_t n_pair = 0, n_verdict[3] = {0};
    const char *other_device = NULL;
    for (size_t i = 0; i < now->n; i++)
        n_pair += find(before, now->items[i].name) != NULL;
    if (n_pair == 0) return cli_fail("%s: a case that was measured now too expected, none found", path);
    printf("\ncompared with %s\n%-46s %12s %12s %10s %9s\n", path, "case", "before (ns)", "now (ns)", "change",
           "noise");
    for (size_t i = 0; i < now->n; i++) {
        const bench_record *old = find(before, now->items[i].name);
        if (!old) {
            printf("%-46s %12s %12.0f\n", now->items[i].name, "-", now->items[i].median_ns);
            continue;
        }
        if (strcmp(old->device, now->items[i].device) != 0) other_device = old->device;
        bench_verdict verdict = bench_compare(old, &now->items[i]);
        n_verdict[verdict]++;
        print_pair(old, &now->items[i], verdict);
    }
    printf("%zu cases in both: %zu slower, %zu faster, %zu the same within the noise\n", n_pair,
           n_verdict[BENCH_SLOWER], n_verdict[BENCH_FASTER], n_verdict[BENCH_SAME]);
    if (other_device) printf("note: %s was measured on another device or driver: %s\n", path, other_device);
    if (n_verdict[BENCH_SLOWER])
        return cli_fail("bench: no slower case than in %s expected, %zu of %zu found", path, n_verdict[BENCH_SLOWER],
                        n_pair);
    return CLI_OK;
}
