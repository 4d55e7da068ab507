// What the commands share: messages, progress, device and model.
#ifndef CLI_COMMON_H
#define CLI_COMMON_H

#include <vkssm/vkssm.h>

#include "args.h"

#if defined(__GNUC__)
#define CLI_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define CLI_PRINTF(format_index, first_index)
#endif

// One line on stderr, "vkssm: " and the message. Control characters become '?', so that it stays one line.
void cli_error(const char *format, ...) CLI_PRINTF(1, 2);
// The same; returns CLI_FAILED.
int cli_fail(const char *format, ...) CLI_PRINTF(1, 2);
// The message of the library call that just failed, behind "`about`: " unless that is NULL. Returns CLI_FAILED.
int cli_library_failed(const char *about);

// Flush stdout; `status`, or CLI_FAILED with a line if what was printed did not reach its end.
int cli_end_output(int status);

// A string of JSON with its quotes; bytes that are not UTF-8 become U+FFFD.
void cli_json_string(const char *text);

// Seconds on a clock that is never set.
double cli_now(void);

// A bar on stderr if that is a terminal; drawn ten times a second at most, removed when done == total.
void cli_progress(const char *what, uint64_t done, uint64_t total);

// Options of every command that opens a device, and of every command that loads a model.
typedef struct cli_setup {
    const char *model;
    const char *device;
    uint32_t mask;
    const char *avoid; // kernel variants, with commas between
    cli_dtype precision, weights;
    bool validation;
    uint32_t n_slot; // of the session; 0: 1
} cli_setup;

#define CLI_DEVICE_OPTIONS(setup)                                                                                      \
    {.name = "--device",                                                                                               \
     .argument = "I|NAME",                                                                                             \
     .help = "device by index or by a part of its name (default: the best)",                                           \
     .type = CLI_TEXT,                                                                                                 \
     .value = &(setup)->device},                                                                                       \
        {.name = "--mask",                                                                                             \
         .argument = "FEATURE[,FEATURE]",                                                                              \
         .help = "treat these capabilities as absent",                                                                 \
         .type = CLI_FEATURES,                                                                                         \
         .value = &(setup)->mask},                                                                                     \
        {.name = "--avoid",                                                                                            \
         .argument = "VARIANT[,VARIANT]",                                                                              \
         .help = "choose other kernel variants than these, which vkssm info lists",                                    \
         .type = CLI_TEXT,                                                                                             \
         .value = &(setup)->avoid},                                                                                    \
    {                                                                                                                  \
        .name = "--validation", .help = "run the Vulkan validation layers; any message fails the command",             \
        .type = CLI_FLAG, .value = &(setup)->validation                                                                \
    }

#define CLI_MODEL_OPTION(setup)                                                                                        \
    {                                                                                                                  \
        .name = "--model", .argument = "DIR|FILE", .help = "the model, or the name of an installed one",               \
        .type = CLI_TEXT, .required = true, .value = &(setup)->model                                                   \
    }

#define CLI_PRECISION_OPTIONS(setup)                                                                                   \
    {.name = "--precision",                                                                                            \
     .argument = "f32|f16|bf16",                                                                                       \
     .help = "storage of activations (default f32)",                                                                   \
     .type = CLI_DTYPE,                                                                                                \
     .value = &(setup)->precision},                                                                                    \
    {                                                                                                                  \
        .name = "--weights", .argument = "TYPE",                                                                       \
        .help = "storage of matrices: f32, f16, bf16, q8_0, q4_0, q4_k or q6_k (default: as in the file)",             \
        .type = CLI_STORAGE, .value = &(setup)->weights                                                                \
    }

// A device, a model and a session. Zero-initialised: nothing is open.
typedef struct cli_run {
    vkssm_device *device;
    vkssm_model *model;
    vkssm_session *session;
    vkssm_device_info device_info;
    vkssm_model_info model_info;
    uint64_t session_size; // bytes of device memory that the session takes
} cli_run;

// Open the device only, device and model, or all three. CLI_OK, or CLI_FAILED with a line said; call cli_close in
// either case.
int cli_open_device(const cli_setup *setup, cli_run *run);
int cli_open_model(const cli_setup *setup, cli_run *run);
int cli_open(const cli_setup *setup, cli_run *run);

// Close what is open. Returns `status`, or CLI_FAILED with a line if validation found anything.
int cli_close(cli_run *run, int status);

// Read tokens into slot 0 with progress; `logits` as vkssm_session_prefill has it.
int cli_prefill(cli_run *run, const int32_t *ids, size_t n_id, vkssm_logits want, float *logits);

#endif
