// vkssm bench: measure operators and whole models.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_compare.h"
#include "commands.h"
#include "common.h"

#ifndef VKSSM_COMMIT
#define VKSSM_COMMIT "" // not built in a checkout
#endif

typedef struct bench_options {
    cli_setup setup;
    const char *ops, *models, *baseline, *against;
    bool json, list, quick;
    double seconds;
    uint32_t seed;
} bench_options;

// What --quick gives a case, and what a run of it may take at the speed of the limits: less than a minute for all of
// them on two cores of a CPU.
static const double quick_seconds = 0.2, quick_run_s = 0.2;

static double seconds_of(const bench_options *o) {
    return o->quick ? quick_seconds : o->seconds;
}

// Whether `name` has the form of `pattern`: * stands for any characters, ? for one.
static bool matches(const char *pattern, const char *name) {
    const char *star = NULL, *star_name = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++; // take nothing for it at first
            star_name = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) { // let the last star take one more
            pattern = star + 1;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool is_wanted(const bench_options *o, const vkssm_bench_case *c) {
    const char *pattern = c->is_model ? o->models : o->ops;
    if (!o->ops && !o->models) return true;
    return pattern && matches(pattern, c->name);
}

static uint32_t count_wanted(const bench_options *o) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < vkssm_bench_n_case(); i++) {
        vkssm_bench_case c;
        vkssm_bench_get_case(i, &c);
        n += is_wanted(o, &c);
    }
    return n;
}

// A pattern that fits nothing is a mistake, even if the other one fits something.
static int check_pattern(const char *option, const char *pattern, bool is_model) {
    if (!pattern) return CLI_OK;
    for (uint32_t i = 0; i < vkssm_bench_n_case(); i++) {
        vkssm_bench_case c;
        vkssm_bench_get_case(i, &c);
        if (c.is_model == is_model && matches(pattern, c.name)) return CLI_OK;
    }
    return cli_fail("bench: %s: a pattern of the names that vkssm bench --list prints expected, \"%s\" found", option,
                    pattern);
}

static void print_list(const bench_options *o) {
    for (uint32_t i = 0; i < vkssm_bench_n_case(); i++) {
        vkssm_bench_case c;
        vkssm_bench_get_case(i, &c);
        if (is_wanted(o, &c)) printf("%-46s %s\n", c.name, c.what);
    }
}

// ---- progress ------------------------------------------------------------------------------------------------------

// How far all of the cases are. Time left: that of the cases done so far, for each one that is to come.
typedef struct bench_progress {
    uint32_t n_case, n_done;
    double begin;
    char text[160];
} bench_progress;

static void begin_case(bench_progress *p, const char *name) {
    double left = p->n_done ? (cli_now() - p->begin) / p->n_done * (p->n_case - p->n_done) : 0;
    if (p->n_done)
        snprintf(p->text, sizeof p->text, "%u/%u, %.0f s left, %s", (unsigned)p->n_done + 1, (unsigned)p->n_case, left,
                 name);
    else
        snprintf(p->text, sizeof p->text, "1/%u, %s", (unsigned)p->n_case, name);
}

static bool show_progress(void *user, uint64_t done, uint64_t total) {
    cli_progress(user, done < total ? done : total - 1, total); // the bar goes when the case is over
    return true;
}

static void end_progress(const char *what) {
    cli_progress(what, 1, 1);
}

// ---- a machine that slows down -------------------------------------------------------------------------------------

// How much slower the last quarter of the samples was than the first; 0 if it was not.
static double slowdown(const vkssm_bench_result *r) {
    double first = r->quarter_ns[0], last = r->quarter_ns[3];
    return first > 0 && last > first ? last / first - 1 : 0;
}

// Clocks that sink under heat or a power limit, or other programs. Larger than what a median's own noise makes.
static const double worth_saying = 0.05;

// ---- for people ----------------------------------------------------------------------------------------------------

static const char *format_time(double ns, char text[32]) {
    static const char *const units[] = {"ns", "us", "ms", "s"};
    int unit = 0;
    for (; ns >= 1000 && unit < 3; unit++)
        ns /= 1000;
    snprintf(text, 32, "%.*f %s", ns < 10 ? 3 : ns < 100 ? 2 : 1, ns, units[unit]);
    return text;
}

static void print_limits(const vkssm_device_info *info, const vkssm_bench_limits *limits) {
    char dispatch[32], barrier[32], submit[32];
    printf("device    %s, %s\n", info->name, info->driver);
    printf("limits    copy %.1f GB/s (two buffers of %.0f MiB), GEMM %.3f TFLOP/s (%s)\n", limits->copy_rate * 1e-9,
           (double)limits->copy_size / 1048576, limits->gemm_rate * 1e-12,
           limits->gemm_case ? limits->gemm_case : "none");
    printf("          GEMM of f32 %.3f, f16 %.3f, bf16 %.3f TFLOP/s\n", limits->gemm_f32_rate * 1e-12,
           limits->gemm_f16_rate * 1e-12, limits->gemm_bf16_rate * 1e-12);
    printf("          dispatch %s, with a barrier %s, submission and wait %s%s\n\n",
           format_time(limits->dispatch_ns, dispatch), format_time(limits->barrier_ns, barrier),
           format_time(limits->submit_ns, submit), limits->host_clock ? " (host clock: no timestamps)" : "");
    printf("%-46s %10s %7s %10s %10s %9s %12s\n", "case", "median", "+-", "GB/s", "TFLOP/s", "of limit", "tokens/s");
}

static double per_second(double amount, const vkssm_bench_result *r) {
    return r->median_ns > 0 ? amount / r->median_ns * 1e9 : 0;
}

static void print_result(const vkssm_bench_result *r) {
    char median[32], spread[32] = "-";
    if (r->skipped[0]) {
        printf("%-46s skipped: %s\n", r->name, r->skipped);
        return;
    }
    if (r->n_sample >= 4) snprintf(spread, sizeof spread, "%.1f %%", 100 * r->spread); // quartiles of fewer say nothing
    printf("%-46s %10s %7s %10.1f %10.3f %7.1f %%", r->name, format_time(r->median_ns, median), spread,
           per_second((double)r->bytes, r) * 1e-9, per_second((double)r->flop, r) * 1e-12, 100 * r->limit_share);
    if (r->n_token)
        printf(" %12.1f", per_second(r->n_token, r));
    else if (r->host_clock)
        printf("   (host clock)");
    if (slowdown(r) > worth_saying) printf("   (the device slowed down by %.0f %% meanwhile)", 100 * slowdown(r));
    printf("\n");
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

static void json_key_text(const char *key, const char *value) {
    printf("\"%s\": ", key);
    cli_json_string(value);
    printf(", ");
}

static void json_features(uint32_t bits) {
    const char *comma = "";
    printf("\"features\": [");
    for (unsigned bit = 0; bit < 31; bit++) {
        const char *name = bits >> bit & 1 ? vkssm_feature_name((vkssm_feature)(1u << bit)) : NULL;
        if (!name) continue;
        printf("%s\"%s\"", comma, name);
        comma = ", ";
    }
    printf("], ");
}

static void json_limits(const vkssm_bench_limits *limits) {
    printf("\"limits\": {\"copy_size\": %" PRIu64 ", \"copy_gb_per_s\": %.9g, \"gemm_tflop_per_s\": %.9g, ",
           limits->copy_size, limits->copy_rate * 1e-9, limits->gemm_rate * 1e-12);
    if (limits->gemm_case) json_key_text("gemm_case", limits->gemm_case);
    printf("\"gemm_f32_tflop_per_s\": %.9g, \"gemm_f16_tflop_per_s\": %.9g, \"gemm_bf16_tflop_per_s\": %.9g, ",
           limits->gemm_f32_rate * 1e-12, limits->gemm_f16_rate * 1e-12, limits->gemm_bf16_rate * 1e-12);
    printf("\"dispatch_ns\": %.9g, \"barrier_ns\": %.9g, \"submit_ns\": %.9g, \"clock\": \"%s\"}", limits->dispatch_ns,
           limits->barrier_ns, limits->submit_ns, limits->host_clock ? "host" : "gpu");
}

static void json_lists(const vkssm_bench_result *r) {
    printf("\"variants\": [");
    for (uint32_t i = 0; i < r->n_variant; i++)
        printf("%s\"%s\"", i ? ", " : "", r->variants[i]);
    printf("], ");
    if (!r->n_part) return;
    printf("\"gpu_parts\": [");
    for (uint32_t i = 0; i < r->n_part; i++)
        printf("%s{\"name\": \"%s\", \"calls\": %" PRIu64 ", \"ns\": %" PRIu64 "}", i ? ", " : "", r->parts[i].name,
               r->parts[i].n_call, r->parts[i].time_ns);
    printf("], ");
}

static void json_measures(const vkssm_bench_result *r) {
    printf("\"clock\": \"%s\", \"runs\": %" PRIu64 ", \"samples\": %" PRIu32 ", \"sets\": %" PRIu32
           ", \"min_ns\": %.9g, \"median_ns\": %.9g, \"spread\": %.4g, \"quarter_ns\": [%.9g, %.9g, %.9g, %.9g], "
           "\"bytes\": %" PRIu64 ", \"flop\": %" PRIu64
           ", \"gb_per_s\": %.9g, \"tflop_per_s\": %.9g, \"limit\": \"%s\", \"limit_share\": %.9g, ",
           r->host_clock ? "host" : "gpu", r->n_run, r->n_sample, r->n_set, r->min_ns, r->median_ns, r->spread,
           r->quarter_ns[0], r->quarter_ns[1], r->quarter_ns[2], r->quarter_ns[3], r->bytes, r->flop,
           per_second((double)r->bytes, r) * 1e-9, per_second((double)r->flop, r) * 1e-12,
           r->compute_bound ? "gemm" : "copy", r->limit_share);
    if (r->n_token)
        printf("\"tokens\": %" PRIu32 ", \"tokens_per_s\": %.9g, \"activations\": \"%s\", ", r->n_token,
               per_second(r->n_token, r), vkssm_dtype_name(r->activation_dtype));
    json_lists(r);
}

static void json_result(const bench_options *o, const vkssm_device_info *info, const vkssm_bench_limits *limits,
                        const vkssm_bench_result *r) {
    printf("{");
    json_key_text("name", r->name);
    json_key_text("dtype", r->dtype);
    json_key_text("shape", r->shape);
    if (r->skipped[0])
        json_key_text("skipped", r->skipped);
    else
        json_measures(r);
    json_key_text("device", info->name);
    json_key_text("driver", info->driver);
    json_features(info->features);
    json_key_text("avoided", o->setup.avoid ? o->setup.avoid : "");
    printf("\"subgroup_size\": %" PRIu32 ", \"seed\": %" PRIu32 ", \"seconds\": %.9g, ", info->subgroup_size, o->seed,
           seconds_of(o));
    printf("\"vkssm_api_version\": %u, ", (unsigned)vkssm_api_version());
    json_key_text("commit", VKSSM_COMMIT);
    json_limits(limits);
    printf("}\n");
}

// ---- the command ---------------------------------------------------------------------------------------------------

// All cases wanted; one that fails does not keep the others from running.
static int run_cases(const bench_options *o, const cli_run *run, vkssm_bench_params *params,
                     const vkssm_bench_limits *limits, bench_records *measured) {
    int status = CLI_OK;
    bench_progress progress = {.n_case = count_wanted(o), .begin = cli_now()};
    params->progress = (vkssm_progress){show_progress, progress.text};
    for (uint32_t i = 0; i < vkssm_bench_n_case(); i++) {
        vkssm_bench_case c;
        vkssm_bench_result result;
        vkssm_bench_get_case(i, &c);
        if (!is_wanted(o, &c)) continue;
        begin_case(&progress, c.name);
        vkssm_status failed = vkssm_bench_run(run->device, i, params, &result);
        end_progress(c.name);
        progress.n_done++;
        if (failed) {
            status = cli_library_failed(c.name);
            if (failed == VKSSM_ERR_DEVICE_LOST) break;
            continue;
        }
        if (o->json)
            json_result(o, &run->device_info, limits, &result);
        else
            print_result(&result);
        fflush(stdout);
        if (result.skipped[0]) continue;
        if (!bench_add(measured, &result, &run->device_info)) return cli_fail("bench: out of memory");
    }
    return status;
}

// Measure, then compare. What was measured is told even if the comparison cannot be.
static int run_and_compare(const bench_options *o, const cli_run *run, vkssm_bench_params *params,
                           const vkssm_bench_limits *limits) {
    bench_records before = {0}, measured = {0};
    int status = o->baseline ? bench_read(o->baseline, &before) : CLI_OK;
    if (status == CLI_OK) status = run_cases(o, run, params, limits, &measured);
    if (o->baseline && before.n && !o->json) {
        int compared = bench_print_comparison(o->baseline, &before, &measured);
        if (status == CLI_OK) status = compared;
    }
    bench_free(&before);
    bench_free(&measured);
    return status;
}

static int measure(const bench_options *o, const cli_run *run) {
    static char name[] = "limits";
    vkssm_bench_limits limits;
    vkssm_bench_params params = {.progress = {show_progress, name},
                                 .time_ns = (uint64_t)(1e9 * seconds_of(o)),
                                 .longest_run_ns = o->quick ? 1e9 * quick_run_s : 0,
                                 .seed = o->seed,
                                 .activation_dtype = o->setup.precision.dtype};
    vkssm_status failed = vkssm_bench_measure_limits(run->device, &params, &limits);
    end_progress(name);
    if (failed) return cli_library_failed("limits");
    if (!o->json) print_limits(&run->device_info, &limits);
    fflush(stdout);
    params.limits = &limits;
    return run_and_compare(o, run, &params, &limits);
}

// Two files, no measuring.
static int compare_files(const bench_options *o) {
    bench_records before = {0}, now = {0};
    int status = bench_read(o->baseline, &before);
    if (status == CLI_OK) status = bench_read(o->against, &now);
    if (status == CLI_OK) status = bench_print_comparison(o->baseline, &before, &now);
    bench_free(&before);
    bench_free(&now);
    return cli_end_output(status);
}

int cmd_bench(const cli_command *command, int argc, char **argv) {
    bench_options o = {.seconds = 2};
    const cli_option options[] = {
        {.name = "--ops",
         .argument = "PATTERN",
         .help = "operators' cases to measure, such as 'scan/*'; * stands for any characters, ? for one",
         .type = CLI_TEXT,
         .value = &o.ops},
        {.name = "--models",
         .argument = "PATTERN",
         .help = "models' cases to measure; without --ops and --models: all cases",
         .type = CLI_TEXT,
         .value = &o.models},
        {.name = "--list", .help = "print the cases and measure nothing", .type = CLI_FLAG, .value = &o.list},
        {.name = "--seconds",
         .argument = "S",
         .help = "time for measuring a case, without its preparation (default 2)",
         .type = CLI_REAL,
         .above_min = true,
         .max = 3600,
         .value = &o.seconds},
        {.name = "--quick",
         .help = "0.2 s a case, and only those whose runs take no longer at the speed of the limits",
         .type = CLI_FLAG,
         .value = &o.quick},
        {.name = "--seed",
         .argument = "S",
         .help = "of the operators' made-up inputs (default 0)",
         .type = CLI_COUNT,
         .max = UINT32_MAX,
         .value = &o.seed},
        {.name = "--precision",
         .argument = "f32|f16|bf16",
         .help = "storage of activations in models (default f32)",
         .type = CLI_DTYPE,
         .value = &o.setup.precision},
        {.name = "--baseline",
         .argument = "FILE",
         .help = "compare with the cases of FILE, as --json printed them; status 1 if one became slower",
         .type = CLI_TEXT,
         .value = &o.baseline},
        {.name = "--against",
         .argument = "FILE",
         .help = "measure nothing: compare these cases with those of --baseline",
         .type = CLI_TEXT,
         .value = &o.against},
        {.name = "--json", .help = "print one JSON object a case", .type = CLI_FLAG, .value = &o.json},
        CLI_DEVICE_OPTIONS(&o.setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    if (o.against && !o.baseline) return cli_usage(command, "--against needs --baseline");
    if (o.baseline && o.json) return cli_usage(command, "--baseline prints a table, --json none: expected one of them");
    if (o.against) return compare_files(&o);
    status = check_pattern("--ops", o.ops, false);
    if (status == CLI_OK) status = check_pattern("--models", o.models, true);
    if (status != CLI_OK) return status;
    if (o.list) {
        print_list(&o);
        return cli_end_output(CLI_OK);
    }
    cli_run run = {0};
    status = cli_open_device(&o.setup, &run);
    if (status == CLI_OK) status = measure(&o, &run);
    return cli_close(&run, cli_end_output(status));
}
