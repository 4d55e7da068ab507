// What the tests of models share: a device with validation, models opened from files, tensors of files, comparisons.
#ifndef MODEL_TEST_H
#define MODEL_TEST_H

#include <math.h>

#include <vkssm/vkssm.h>

#include "tests/harness/check.h"

// The device of the program, named by the environment variable VKSSM_TEST_DEVICE or the library's choice.
extern vkssm_device *model_device;

// As check_main, on that device; status 77 where there is none. Afterwards: no validation message, no memory left.
int model_main(int argc, char **argv, const check_case *cases);

// What the log received since the program began or since it was cleared.
typedef struct model_heard {
    uint32_t n_error, n_validation, n_ragged; // ragged: not one line
    char last_error[1024];
} model_heard;
extern model_heard model_log;

// Parameters of model_device, for devices of a test's own. Validation is off where the layer is not installed.
vkssm_device_params model_device_params(void);
// Destroy a device of a test's own; it must not have seen a validation message.
void model_close_device(vkssm_device **device);

// VKSSM_TEST_DATA/name and VKSSM_ZOO/name, in one of a few buffers that take turns.
const char *model_data(const char *name);
const char *model_zoo(const char *name);
// "folder/name", likewise.
const char *model_path(const char *folder, const char *name);

// Memory of a test, zeroed; the program ends when there is none. Not the library's memory, so that the library's count of
// live blocks is its own. Released by free.
void *model_alloc(size_t count, size_t size);

// A model and a session on it.
typedef struct model_run {
    vkssm_model *model;
    vkssm_session *session;
    vkssm_model_info info;
} model_run;

// False, with a failed check, if that does not work. NULL parameters: defaults.
bool model_open(model_run *run, const char *path, const vkssm_model_params *model_params,
                const vkssm_session_params *session_params);
void model_close(model_run *run);

// Logits [n, V] of tokens read into `slot`, by prefill or one by one.
float *model_prefill(const model_run *run, uint32_t slot, const int32_t *tokens, size_t n);
float *model_steps(const model_run *run, uint32_t slot, const int32_t *tokens, size_t n);
// The image of a slot: vkssm_session_state_size bytes.
uint8_t *model_save(const model_run *run, uint32_t slot);

// Arrays of a file, copied; NULL with a failed check if there is no such tensor of this type. *n: number of elements.
float *model_floats(const char *path, const char *name, size_t *n);
int32_t *model_words(const char *path, const char *name, size_t *n);
// Any of F32, F16, BF16, as stored in a file, as double.
double model_element(const vkssm_named_tensor *tensor, uint64_t i);

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

#endif
