#include "kernel_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row { // of a variant
    uint32_t n_case, n_wrong;
    double error; // the largest one
} row;

typedef struct table {
    const vkssm_device *device;
    row *rows;
    uint32_t n_row, n_result;
} table;

static bool show_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    cli_progress("check", done, total);
    return true;
}

// What is wrong is told at once, so that it stands there too if the device is lost later.
static bool take_result(void *user, const vkssm_check_result *result) {
    table *t = user;
    for (uint32_t i = 0; i < t->n_row; i++) {
        vkssm_variant_info variant;
        vkssm_device_get_variant(t->device, i, &variant);
        if (strcmp(variant.name, result->variant) != 0) continue;
        row *r = &t->rows[i];
        r->n_case++;
        r->n_wrong += !result->is_right;
        if (result->error > r->error) r->error = result->error;
    }
    t->n_result++;
    if (!result->is_right) printf("WRONG %s by %s: %s\n", result->name, result->variant, result->finding);
    fflush(stdout);
    return true;
}

static void print_rows(const table *t) {
    printf("%-24s %5s %10s  %s\n", "variant", "cases", "error", "");
    for (uint32_t i = 0; i < t->n_row; i++) {
        const row *r = &t->rows[i];
        vkssm_variant_info variant;
        vkssm_device_get_variant(t->device, i, &variant);
        if (!variant.available)
            printf("%-24s %5s %10s  not run: %s\n", variant.name, "-", "-",
                   variant.reason ? variant.reason : "not said");
        else if (r->n_case == 0)
            printf("%-24s %5s %10s  no case on this device\n", variant.name, "-", "-");
        else
            printf("%-24s %5" PRIu32 " %8.2f %%  %s\n", variant.name, r->n_case, 100 * r->error,
                   r->n_wrong ? "WRONG" : "ok");
    }
}

static void print_head(const vkssm_device_info *info) {
    printf("vkssm     %s\n", vkssm_version());
    printf("device    %s, 0x%04" PRIx32 ":0x%04" PRIx32 "\n", info->name, info->vendor_id, info->device_id);
    printf("driver    %s\n", info->driver);
    printf("subgroup  %" PRIu32 " (%" PRIu32 " to %" PRIu32 ")\n", info->subgroup_size, info->subgroup_size_min,
           info->subgroup_size_max);
    printf("features ");
    for (unsigned bit = 0; bit < 31; bit++) {
        const char *name = info->features >> bit & 1 ? vkssm_feature_name((vkssm_feature)(1u << bit)) : NULL;
        if (name) printf(" %s", name);
    }
    printf("\n\n");
}

int cli_check_kernels(const cli_run *run, const char *only) {
    table t = {.device = run->device, .n_row = vkssm_device_n_variant(run->device)};
    t.rows = calloc(t.n_row, sizeof *t.rows);
    if (!t.rows) return cli_fail("check: out of host memory");
    const vkssm_check_params params = {
        .only = only, .progress = {show_progress, NULL}, .on_result = take_result, .user = &t};
    uint32_t n_wrong;
    print_head(&run->device_info);
    fflush(stdout);
    double begin = cli_now();
    vkssm_status failed = vkssm_device_check(run->device, &params, &n_wrong);
    cli_progress("check", 1, 1);
    if (failed != VKSSM_ERR_ARG) print_rows(&t);
    printf("\n%" PRIu32 " results, %" PRIu32 " wrong, %.1f s; error: the largest, of what is allowed\n", t.n_result,
           n_wrong, cli_now() - begin);
    free(t.rows);
    if (failed) return cli_library_failed("check");
    if (n_wrong)
        return cli_fail("check: right results of every kernel expected, %" PRIu32 " wrong ones found", n_wrong);
    return CLI_OK;
}
