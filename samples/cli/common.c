#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "common.h"

#include "data.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "utf8.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <direct.h>
#include <io.h>
#define make_folder(path) _mkdir(path)
#define stderr_is_terminal() _isatty(2)
#else
#include <sys/stat.h>
#include <unistd.h>
#define make_folder(path) mkdir(path, 0700)
#define stderr_is_terminal() isatty(2)
#endif

static bool bar_is_drawn;
static char last_logged[1024]; // the last message that the library's log printed
static unsigned n_logged;

static void remove_bar(void) {
    if (!bar_is_drawn) return;
    fputs("\r\033[K", stderr);
    bar_is_drawn = false;
}

static void print_line(const char *format, va_list args) {
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
    remove_bar();
    fprintf(stderr, "vkssm: %s\n", text);
}

void cli_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
}

int cli_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_library_failed(const char *about) {
    const char *error = vkssm_last_error();
    if (n_logged && strcmp(error, last_logged) == 0) return CLI_FAILED; // said already
    return about ? cli_fail("%s: %s", about, error) : cli_fail("%s", error);
}

int cli_end_output(int status) {
    if (fflush(stdout) != 0) return cli_fail("standard output: cannot write: %s", strerror(errno));
    return ferror(stdout) ? cli_fail("standard output: cannot write") : status;
}

void cli_json_string(const char *text) {
    utf8_stream stream = {0};
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\') {
            utf8_write(&stream, text, 1, stdout);
            continue;
        }
        utf8_end(&stream, stdout);
        if (c < 0x20)
            printf("\\u%04x", c);
        else
            printf("\\%c", c);
    }
    utf8_end(&stream, stdout);
    putchar('"');
}

double cli_now(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

void cli_progress(const char *what, uint64_t done, uint64_t total) {
    enum { WIDTH = 40 };
    static double drawn_at;
    if (!stderr_is_terminal()) return;
    if (done >= total) {
        remove_bar();
        return;
    }
    double now = cli_now();
    if (bar_is_drawn && now - drawn_at < 0.1) return;
    drawn_at = now;
    double part = (double)done / (double)total;
    int filled = (int)(part * WIDTH);
    fprintf(stderr, "\r%s [", what);
    for (int i = 0; i < WIDTH; i++)
        fputc(i < filled ? '#' : '.', stderr);
    fprintf(stderr, "] %3d %%", (int)(100 * part));
    fflush(stderr);
    bar_is_drawn = true;
}

static bool loading_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    cli_progress("loading", done, total);
    return true;
}

// Only with --validation: its messages are no failure of a call, so that nobody else prints them.
static void print_log(void *user, vkssm_log_level level, const char *message) {
    (void)user;
    if (level != VKSSM_LOG_ERROR) return;
    cli_error("%s", message);
    snprintf(last_logged, sizeof last_logged, "%s", message);
    n_logged++;
}

// A file of compiled pipelines per selected device, as a file serves one device only: the number is a hash (FNV-1a) of
// the selection. Without a place for caches there is none, and nothing else changes.
static const char *pipeline_cache(const cli_setup *setup, char *path, size_t size) {
    const char *cache = getenv("XDG_CACHE_HOME"), *below = "";
    if (!cache || cache[0] != '/') { // the XDG rules: a relative path is to be ignored
        cache = getenv("HOME");
        below = "/.cache";
    }
    if (!cache || !*cache) return NULL;
    uint32_t hash = 2166136261u;
    for (const char *c = setup->device ? setup->device : ""; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    int length = snprintf(path, size, "%s%s", cache, below);
    if (length < 0 || (size_t)length + 40 > size) return NULL;
    make_folder(path); // if it fails, or the folder is there, the next step tells
    size_t used = (size_t)length;
    snprintf(path + used, size - used, "/vkssm");
    if (make_folder(path) != 0 && errno != EEXIST) return NULL;
    snprintf(path + used, size - used, "/vkssm/pipelines-%08x.bin", (unsigned)hash);
    return path;
}

int cli_open_device(const cli_setup *setup, cli_run *run) {
    char path[4096];
    vkssm_device_params params = {.select = setup->device,
                                  .mask_features = setup->mask,
                                  .validation = setup->validation,
                                  .cache_path = pipeline_cache(setup, path, sizeof path)};
    if (setup->validation) params.log.callback = print_log;
    if (vkssm_device_create(&params, &run->device)) return cli_library_failed(NULL);
    if (setup->avoid && vkssm_device_avoid(run->device, setup->avoid)) {
        vkssm_device_destroy(&run->device);
        return cli_library_failed("--avoid");
    }
    vkssm_device_get_info(run->device, &run->device_info);
    return CLI_OK;
}

int cli_open_model(const cli_setup *setup, cli_run *run) {
    if (cli_open_device(setup, run)) return CLI_FAILED;
    vkssm_model_params params = {.progress = {loading_progress, NULL},
                                 .convert_weights = setup->weights.given,
                                 .weight_dtype = setup->weights.dtype,
                                 .activation_dtype = setup->precision.dtype};
    char path[4096];
    const char *model = cli_find_model(setup->model, path, sizeof path);
    vkssm_status status = vkssm_model_load(run->device, model, &params, &run->model);
    remove_bar();
    if (status) return cli_library_failed(NULL);
    vkssm_model_get_info(run->model, &run->model_info);
    return CLI_OK;
}

int cli_open(const cli_setup *setup, cli_run *run) {
    if (cli_open_model(setup, run)) return CLI_FAILED;
    const vkssm_session_params params = {.n_slot = setup->n_slot};
    if (vkssm_session_memory_size(run->model, &params, &run->session_size)) return cli_library_failed(NULL);
    if (vkssm_session_create(run->model, &params, &run->session)) return cli_library_failed(NULL);
    return CLI_OK;
}

int cli_close(cli_run *run, int status) {
    remove_bar();
    uint32_t n_message = 0;
    if (run->device) {
        vkssm_device_get_info(run->device, &run->device_info);
        n_message = run->device_info.n_validation_message;
    }
    vkssm_session_destroy(&run->session);
    vkssm_model_destroy(&run->model);
    unsigned n_before = n_logged;
    vkssm_device_destroy(&run->device);
    n_message += n_logged - n_before; // objects left behind are found by the last call
    if (status == CLI_OK && n_message)
        return cli_fail("validation: expected no message, found %u", (unsigned)n_message);
    return status;
}

int cli_prefill(cli_run *run, const int32_t *ids, size_t n_id, vkssm_logits want, float *logits) {
    // Large pieces: they are for the bar, the library has its own.
    const size_t piece_max = 8192;
    for (size_t done = 0; done < n_id;) {
        size_t piece = n_id - done < piece_max ? n_id - done : piece_max;
        float *place = want == VKSSM_LOGITS_ALL ? logits + done * run->model_info.n_vocab : logits;
        if (vkssm_session_prefill(run->session, 0, ids + done, piece, want, place)) return cli_library_failed(NULL);
        done += piece;
        cli_progress("prefill", done, n_id);
    }
    return CLI_OK;
}
