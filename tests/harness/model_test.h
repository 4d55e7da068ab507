// What the tests of models share: a device with validation, models opened from files, tensors of files, comparisons.
#ifndef MODEL_TEST_H
#define MODEL_TEST_H

#include <math.h>

#include <vkssm/vkssm.h>

#include "host/base/alloc.h"
#include "tests/harness/check.h"

// ---- the device -----------------------------------------------------------------------------------------------------

// The device of the program, named by the environment variable VKSSM_TEST_DEVICE or the library's choice.
extern vkssm_device *model_device;
// False after printing why there is none.
bool model_open_device(void);

// What the log received since the program began.
typedef struct model_heard {
    uint32_t n_error, n_validation, n_ragged; // ragged: not one line
    char last_error[1024];
} model_heard;
extern model_heard model_log;

// Parameters of model_device, for devices of a test's own. Validation is off where the layer is not installed.
vkssm_device_params model_device_params(void);

// ---- files and memory -----------------------------------------------------------------------------------------------

// VKSSM_TEST_DATA/name and VKSSM_ZOO/name, in one of a few buffers that take turns.
const char *model_data(const char *name);
const char *model_zoo(const char *name);
// "folder/name", likewise.
const char *model_path(const char *folder, const char *name);

// Memory of a test, zeroed; the program ends when there is none. Not the library's memory, so that the library's count
// of live blocks is its own. Released by free.
void *model_alloc(size_t count, size_t size);

// The elements of a tensor of a file, copied; *n: how many. NULL after printing that there is no such tensor of this
// type.
void *model_tensor(const char *path, const char *name, vkssm_dtype dtype, size_t *n);
// Element `i` of F32, F16 or BF16.
double model_element(const vkssm_named_tensor *tensor, uint64_t i);

// ---- numbers --------------------------------------------------------------------------------------------------------

// The largest |found - wanted| as a part of the largest |wanted|; infinite if anything is not finite.
double model_gap(const float *found, const float *wanted, size_t n);
double model_gap_double(const float *found, const double *wanted, size_t n);

// `n` ids in [0, n_vocab).
int32_t *model_tokens(uint64_t seed, size_t n, uint32_t n_vocab);
// The largest logit, the lowest id among equals.
int32_t model_argmax(const float *logits, uint32_t n_vocab);

#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        vkssm_status check_status = (call);                                                                            \
        check_n_checked++;                                                                                             \
        if (check_status != VKSSM_OK)                                                                                  \
            CHECK_FAIL("%s: %s: %s", #call, vkssm_status_text(check_status), vkssm_last_error());                      \
    } while (0)

// A call that must fail with this status and one line that holds this part.
#define CHECK_REFUSED(call, status, part)                                                                              \
    do {                                                                                                               \
        CHECK_EQ((call), (status));                                                                                    \
        CHECK_CONTAINS(vkssm_last_error(), part);                                                                      \
        CHECK(!strpbrk(vkssm_last_error(), "\r\n"));                                                                   \
    } while (0)

// At most `limit`, which a NaN is not.
#define CHECK_AT_MOST(found, limit)                                                                                    \
    do {                                                                                                               \
        double check_found = (found);                                                                                  \
        check_n_checked++;                                                                                             \
        if (!(check_found <= (limit))) CHECK_FAIL("%s is %.3g, at most %g expected", #found, check_found, (limit));    \
    } while (0)

// ---- models ---------------------------------------------------------------------------------------------------------

// A model and a session on it.
typedef struct model_run {
    vkssm_model *model;
    vkssm_session *session;
    vkssm_model_info info;
} model_run;

// False, with a failed check, if that does not work. NULL parameters: defaults.
static inline bool model_open(model_run *run, const char *path, const vkssm_model_params *model_params,
                              const vkssm_session_params *session_params) {
    memset(run, 0, sizeof *run);
    CHECK_OK(vkssm_model_load(model_device, path, model_params, &run->model));
    if (!run->model) return false;
    vkssm_model_get_info(run->model, &run->info);
    CHECK_OK(vkssm_session_create(run->model, session_params, &run->session));
    if (run->session) return true;
    vkssm_model_destroy(&run->model);
    return false;
}

static inline void model_close(model_run *run) {
    vkssm_session_destroy(&run->session);
    vkssm_model_destroy(&run->model);
    CHECK(!run->session && !run->model);
}

// Logits [n, V] of tokens read into `slot`, by prefill or one by one; to be freed.
static inline float *model_prefill(const model_run *run, uint32_t slot, const int32_t *tokens, size_t n) {
    float *logits = model_alloc(n * run->info.n_vocab, sizeof *logits);
    CHECK_OK(vkssm_session_prefill(run->session, slot, tokens, n, VKSSM_LOGITS_ALL, logits));
    return logits;
}

static inline float *model_steps(const model_run *run, uint32_t slot, const int32_t *tokens, size_t n) {
    float *logits = model_alloc(n * run->info.n_vocab, sizeof *logits);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(vkssm_session_step(run->session, 1, &slot, &tokens[i], logits + i * run->info.n_vocab));
    return logits;
}

// The image of a slot, vkssm_session_state_size bytes; to be freed.
static inline uint8_t *model_save(const model_run *run, uint32_t slot) {
    uint64_t size = vkssm_session_state_size(run->session);
    uint8_t *image = model_alloc((size_t)size, 1);
    CHECK_OK(vkssm_session_state_save(run->session, slot, image, size));
    return image;
}

// ---- programs -------------------------------------------------------------------------------------------------------

// Destroy a device. It must not have seen a validation message.
static inline void model_close_device(vkssm_device **device) {
    if (!*device) return;
    vkssm_device_info info;
    vkssm_device_get_info(*device, &info);
    CHECK_EQ(info.n_validation_message, 0);
    vkssm_device_destroy(device);
    CHECK(!*device);
}

// As check_main, on model_device; status 77 where there is none. Afterwards: no validation message, no memory left.
static inline int model_main(int argc, char **argv, const check_case *cases) {
    if (!model_open_device()) return 77;
    int status = check_main(argc, argv, cases), n_failed = check_n_failed;
    model_close_device(&model_device);
    CHECK_EQ(model_log.n_validation, 0); // to the very end of the device
    CHECK_EQ(model_log.n_ragged, 0);
    CHECK_EQ(vks_alloc_n_live(), 0);
    return check_n_failed != n_failed ? 1 : status;
}

#endif
