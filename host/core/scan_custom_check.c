// The laws that an operator must keep, tried on the device with elements of the user's or made up.
#include "core_scan_custom.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/base/alloc.h"
#include "host/base/half.h"
#include "shaders/params/scan_custom.h"

enum { N_TRIPLE = 256, WG_SIZE = 64 };
enum { LEFT, RIGHT, IDENTITY_LEFT, IDENTITY_RIGHT, N_RESULT };

typedef struct laws {
    vkssm_scan_custom *scan;
    const vks_pipeline *pipeline;
    vks_scan_array triples, results;
} laws;

static uint32_t random_bits(uint64_t *state) { // splitmix64
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static void fill(const vkssm_scan_custom *scan, const vkssm_scan_custom_params *params, uint32_t *words) {
    uint32_t n_word = scan->element.size / 4;
    uint64_t seed = 1;
    for (uint32_t i = 0; i < 3 * N_TRIPLE; i++, words += n_word) {
        if (params->samples) {
            memcpy(words,
                   (const uint8_t *)params->samples +
                       (size_t)(random_bits(&seed) % params->n_sample) * scan->element.size,
                   scan->element.size);
            continue;
        }
        for (uint32_t k = 0; k < n_word; k++) {
            uint32_t bits = random_bits(&seed);
            bool is_float = scan->element.kinds[k] == VKS_WORD_FLOAT;
            words[k] = is_float ? vks_float_bits((float)(bits >> 8) * 0x1p-22f - 2) : bits >> 30;
        }
    }
}

static vkssm_status record(void *user, vks_recorder *recorder) {
    laws *l = user;
    struct vks_scan_custom_params push = {.x = l->triples.address, .y = l->results.address, .n_check = N_TRIPLE};
    vks_access accesses[] = {{push.x, l->triples.device_row_size, false}, {push.y, l->results.device_row_size, true}};
    vks_record_dispatch(recorder, &(vks_dispatch){.pipeline = l->pipeline,
                                                  .push = &push,
                                                  .n_group = {N_TRIPLE / WG_SIZE, 1, 1},
                                                  .accesses = accesses,
                                                  .n_access = 2});
    return VKSSM_OK;
}

// Largest size of the floats of a triple and of two results.
static float largest_of(const vks_scan_element *element, const uint32_t *triple, const uint32_t *x, const uint32_t *y) {
    float largest = 0;
    uint32_t n = element->size / 4;
    for (uint32_t k = 0; k < 5 * n; k++) {
        float value = fabsf(vks_bits_float(k < 3 * n ? triple[k] : k < 4 * n ? x[k - 3 * n] : y[k - 4 * n]));
        if (element->kinds[k % n] == VKS_WORD_FLOAT && isfinite(value) && value > largest) largest = value;
    }
    return largest;
}

static bool same(const vks_scan_element *element, const uint32_t *triple, const uint32_t *x, const uint32_t *y,
                 float tolerance) {
    float allowed = tolerance * largest_of(element, triple, x, y);
    for (uint32_t k = 0; k < element->size / 4; k++) {
        if (element->kinds[k] == VKS_WORD_GAP || x[k] == y[k]) continue;
        if (element->kinds[k] != VKS_WORD_FLOAT) return false;
        float u = vks_bits_float(x[k]), v = vks_bits_float(y[k]);
        if (!(fabsf(u - v) <= allowed) && !(isnan(u) && isnan(v)) && u != v) return false;
    }
    return true;
}

static void append(const vks_scan_element *element, const char *title, const uint32_t *words, char *text, size_t size) {
    size_t at = strlen(text);
    at += (size_t)snprintf(text + at, size - at, "%s {", title);
    for (uint32_t k = 0; k < element->size / 4 && at < size; k++) {
        const char *gap = k ? ", " : "";
        if (element->kinds[k] == VKS_WORD_FLOAT)
            at += (size_t)snprintf(text + at, size - at, "%s%.6g", gap, (double)vks_bits_float(words[k]));
        else if (element->kinds[k] == VKS_WORD_INT)
            at += (size_t)snprintf(text + at, size - at, "%s%d", gap, (int)words[k]);
        else if (element->kinds[k] == VKS_WORD_UINT)
            at += (size_t)snprintf(text + at, size - at, "%s%u", gap, words[k]);
    }
    if (at < size) snprintf(text + at, size - at, "}");
}

static vkssm_status report(const vkssm_scan_custom *scan, const char *law, uint32_t n_used, const uint32_t *triple,
                           const uint32_t *found, const char *found_name, const uint32_t *other,
                           const char *other_name) {
    static const char *const names[] = {"x =", ", y =", ", z ="};
    char text[900] = "";
    uint32_t n_word = scan->element.size / 4;
    for (uint32_t i = 0; i < n_used; i++)
        append(&scan->element, names[i], triple + i * n_word, text, sizeof text);
    append(&scan->element, found_name, found, text, sizeof text);
    if (other) append(&scan->element, other_name, other, text, sizeof text);
    return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_ARG, "%s: %s does not hold for %s", scan->name, law,
                    text);
}

static vkssm_status compare(const vkssm_scan_custom *scan, const uint32_t *triples, const uint32_t *results,
                            float tolerance) {
    const vks_scan_element *element = &scan->element;
    uint32_t n = element->size / 4;
    for (uint32_t i = 0; i < N_TRIPLE; i++) {
        const uint32_t *x = triples + (size_t)3 * i * n, *r = results + (size_t)N_RESULT * i * n;
        if (!same(element, x, r + IDENTITY_LEFT * n, x, tolerance))
            return report(scan, "combine(identity(), x) = x", 1, x, r + IDENTITY_LEFT * n, ": combined", NULL, NULL);
        if (!same(element, x, r + IDENTITY_RIGHT * n, x, tolerance))
            return report(scan, "combine(x, identity()) = x", 1, x, r + IDENTITY_RIGHT * n, ": combined", NULL, NULL);
        if (!same(element, x, r + LEFT * n, r + RIGHT * n, tolerance))
            return report(scan, "associativity", 3, x, r + LEFT * n, ": (x y) z =", r + RIGHT * n, ", x (y z) =");
    }
    return VKSSM_OK;
}

vkssm_status vks_scan_custom_check(vkssm_scan_custom *scan, const vkssm_scan_custom_params *params) {
    const vkssm_log *log = vks_device_log(scan->device->vk);
    if (params->samples && params->n_sample == 0)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: at least one sample expected, 0 found", scan->name);
    laws l = {.scan = scan};
    VKS_TRY(vks_scan_custom_pipeline(scan, WG_SIZE, WG_SIZE, VKS_SCAN_CUSTOM_CHECK, &l.pipeline));
    uint64_t size = scan->element.size;
    uint32_t *triples = vks_alloc((size_t)size * 3 * N_TRIPLE),
             *results = vks_alloc((size_t)size * N_RESULT * N_TRIPLE);
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    if (!triples || !results)
        vks_fail(log, status, "%s: out of memory for its check", scan->name);
    else {
        fill(scan, params, triples);
        l.triples = (vks_scan_array){"triples", triples, NULL, 1, size * 3 * N_TRIPLE, size * 3 * N_TRIPLE, 0, false};
        l.results = (vks_scan_array){
            "results", NULL, results, 1, size * N_RESULT * N_TRIPLE, size * N_RESULT * N_TRIPLE, 0, false};
        vks_scan_array *arrays[] = {&l.triples, &l.results};
        status = vks_scan_job_run(scan->device->vk, arrays, 2, record, &l);
        if (status == VKSSM_OK)
            status = compare(scan, triples, results, params->tolerance > 0 ? params->tolerance : 1e-4f);
    }
    vks_free(triples);
    vks_free(results);
    return status;
}
