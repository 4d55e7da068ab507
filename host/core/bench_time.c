// Timing: warm-up until stable, then samples until there are enough or the time is used up.
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "bench_run.h"

#include <stdlib.h>
#include <time.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

enum { MAX_SAMPLE = 200, MAX_SCOPE = 64, MAX_PER_SAMPLE = 256, MAX_WARM_UP = 20 };
static const double gpu_sample_ns = 1e6;   // far above what a timestamp's tick and its place in the pipeline can spoil
static const double host_sample_ns = 20e6; // far above the cost of a submission
static const double batch_ns = 50e6; // of one submission: no watchdog minds, and the host can still be told to stop
static const uint64_t default_budget_ns = 2000000000, warm_up_ns = 100000000;
static const double stable_part = 0.02;

uint64_t vks_bench_now_ns(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (uint64_t)((double)count.QuadPart / (double)frequency.QuadPart * 1e9);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

uint64_t vks_bench_budget_ns(const vkssm_bench_params *params) {
    return params->time_ns ? params->time_ns : default_budget_ns;
}

// ---- statistics ----------------------------------------------------------------------------------------------------

static int compare(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

// The value below which `part` of the sorted samples lie.
static double quantile(const double *sorted, uint32_t n, double part) {
    double at = part * (n - 1);
    uint32_t i = (uint32_t)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

// Samples in the order in which they were taken; sorted afterwards.
static void summarise(double *samples, uint32_t n, vks_bench_times *times) {
    for (uint32_t i = 0; n >= 8 && i < 4; i++) {
        uint32_t begin = i * n / 4, end = (i + 1) * n / 4;
        qsort(samples + begin, end - begin, sizeof *samples, compare);
        times->quarter_ns[i] = quantile(samples + begin, end - begin, 0.5);
    }
    qsort(samples, n, sizeof *samples, compare);
    times->n_sample = n;
    times->min_ns = samples[0];
    times->median_ns = quantile(samples, n, 0.5);
    double quartiles = quantile(samples, n, 0.75) - quantile(samples, n, 0.25);
    times->spread = times->median_ns > 0 ? 0.5 * quartiles / times->median_ns : 0;
}

static vkssm_status report(const vkssm_log *log, const vkssm_bench_params *params, uint64_t done) {
    uint64_t total = vks_bench_budget_ns(params);
    const vkssm_progress *progress = &params->progress;
    if (!progress->callback || progress->callback(progress->user, done < total ? done : total, total)) return VKSSM_OK;
    return vks_fail(log, VKSSM_ERR_CANCELLED, "bench: cancelled after %.2f s", (double)done * 1e-9);
}

// ---- runs on the device --------------------------------------------------------------------------------------------

typedef struct timer {
    const vks_bench_work *work;
    const vkssm_log *log;
    vks_recorder *recorder;
    uint64_t run;
    bool host_clock;
    uint32_t n_scope, n_per_sample; // of the next batch
    double samples[MAX_SCOPE];      // of the last one
    uint32_t n_sample;
} timer;

static vkssm_status record_batch(timer *t) {
    const vks_bench_work *work = t->work;
    if (!t->host_clock) vks_recorder_enable_timestamps(t->recorder, t->n_scope);
    VKS_TRY(vks_recorder_begin(t->recorder, false));
    for (uint32_t s = 0; s < t->n_scope; s++) {
        vks_record_scope_begin(t->recorder, "bench");
        for (uint32_t i = 0; i < t->n_per_sample; i++) {
            vks_record_fail(t->recorder, work->record(work->user, t->recorder, t->run++));
            if (!work->no_barrier) vks_record_barrier(t->recorder);
        }
        vks_record_scope_end(t->recorder);
    }
    return vks_recorder_end(t->recorder);
}

static vkssm_status run_batch(timer *t) {
    vks_device *device = t->work->device->vk;
    uint64_t value;
    VKS_TRY(record_batch(t));
    uint64_t begin = vks_bench_now_ns();
    VKS_TRY(vks_submit(device, &t->recorder, 1, &value));
    VKS_TRY(vks_wait(device, value));
    uint64_t host_ns = vks_bench_now_ns() - begin;
    const char *name;
    uint64_t time_ns;
    t->n_sample = 0;
    while (!t->host_clock && t->n_sample < t->n_scope &&
           vks_recorder_scope(t->recorder, t->n_sample, &name, &time_ns)) {
        if (time_ns == 0) break; // a clock that stands still is none
        t->samples[t->n_sample++] = (double)time_ns / t->n_per_sample;
    }
    if (t->n_sample == t->n_scope) return VKSSM_OK;
    t->host_clock = true;
    t->samples[0] = (double)host_ns / ((double)t->n_scope * t->n_per_sample);
    t->n_sample = 1;
    return VKSSM_OK;
}

static uint32_t clamp_count(double value, uint32_t max) {
    return value >= max ? max : value >= 1 ? (uint32_t)value : 1;
}

// How many runs make a sample, and how many samples a submission, given the time of a run.
static void plan_batch(timer *t, double run_ns) {
    if (run_ns < 1) run_ns = 1;
    t->n_per_sample = clamp_count((t->host_clock ? host_sample_ns : gpu_sample_ns) / run_ns, MAX_PER_SAMPLE);
    t->n_scope = t->host_clock ? 1 : clamp_count(batch_ns / (run_ns * t->n_per_sample), MAX_SCOPE);
}

static double batch_median(timer *t) {
    vks_bench_times times = {0};
    summarise(t->samples, t->n_sample, &times);
    return times.median_ns;
}

// The first runs make pipelines and, on a CPU, machine code; the next ones raise the clocks.
static vkssm_status warm_up(timer *t, const vkssm_bench_params *params) {
    uint64_t budget = vks_bench_budget_ns(params), begin = vks_bench_now_ns(), least = budget / 4;
    if (least > warm_up_ns) least = warm_up_ns;
    t->n_scope = t->n_per_sample = 1;
    VKS_TRY(run_batch(t));
    if (vks_bench_now_ns() - begin < budget) VKS_TRY(run_batch(t));
    double before = batch_median(t);
    for (int i = 0; i < MAX_WARM_UP && vks_bench_now_ns() - begin < budget / 4; i++) {
        plan_batch(t, before);
        VKS_TRY(run_batch(t));
        VKS_TRY(report(t->log, params, 0));
        double now = batch_median(t), change = now > before ? now - before : before - now;
        bool stable = change < stable_part * before;
        before = now;
        if (stable && vks_bench_now_ns() - begin >= least) break;
    }
    plan_batch(t, before);
    return VKSSM_OK;
}

static vkssm_status take_samples(timer *t, const vkssm_bench_params *params, double *samples, vks_bench_times *times) {
    uint64_t budget = vks_bench_budget_ns(params), begin = vks_bench_now_ns(), done = 0;
    uint32_t n = 0;
    while (n < MAX_SAMPLE && (n == 0 || done < budget)) {
        VKS_TRY(run_batch(t));
        for (uint32_t i = 0; i < t->n_sample && n < MAX_SAMPLE; i++)
            samples[n++] = t->samples[i];
        times->n_run += (uint64_t)t->n_scope * t->n_per_sample;
        done = vks_bench_now_ns() - begin;
        VKS_TRY(report(t->log, params, done));
    }
    summarise(samples, n, times);
    times->host_clock = t->host_clock;
    return VKSSM_OK;
}

vkssm_status vks_bench_time(const vks_bench_work *work, const vkssm_bench_params *params, vks_bench_times *times) {
    *times = (vks_bench_times){0};
    timer t = {.work = work, .log = vks_device_log(work->device->vk)};
    t.host_clock = !(vks_device_caps(work->device->vk)->features & VKS_FEATURE_TIMESTAMPS);
    double samples[MAX_SAMPLE];
    vkssm_status status;
    VKS_TRY(vks_recorder_create(work->device->vk, "bench", &t.recorder));
    VKS_TRY_GOTO(warm_up(&t, params), done);
    VKS_TRY_GOTO(take_samples(&t, params, samples, times), done);
done:
    vks_recorder_destroy(&t.recorder);
    return status;
}

// ---- calls ---------------------------------------------------------------------------------------------------------

vkssm_status vks_bench_time_call(const vks_bench_call *call, const vkssm_bench_params *params, vks_bench_times *times) {
    *times = (vks_bench_times){.host_clock = true};
    double samples[MAX_SAMPLE];
    uint64_t budget = vks_bench_budget_ns(params), begin = vks_bench_now_ns(), done = 0;
    do
        VKS_TRY(call->call(call->user));
    while (vks_bench_now_ns() - begin < (budget / 4 < warm_up_ns ? budget / 4 : warm_up_ns));
    begin = vks_bench_now_ns();
    uint32_t n = 0;
    while (n < MAX_SAMPLE && (n == 0 || done < budget)) {
        uint64_t call_begin = vks_bench_now_ns();
        VKS_TRY(call->call(call->user));
        uint64_t now = vks_bench_now_ns();
        samples[n++] = (double)(now - call_begin) / call->n_run;
        done = now - begin;
        VKS_TRY(report(call->log, params, done));
    }
    times->n_run = (uint64_t)n * call->n_run;
    summarise(samples, n, times);
    return VKSSM_OK;
}
