// A device for tests, and one image of memory that the operators of a test work on.
//
//   gpu *g = gpu_open(0);                                    // kept for the whole program; gpu_main closes it
//   gpu_begin(g);
//   vks_tensor x = gpu_rows(g, GPU_IN, VKSSM_DTYPE_F16, 3, 5, 8, values), y = gpu_rows(g, GPU_OUT, ..., NULL);
//   CHECK_OK(vks_op_matmul(&g->target, &(vks_matmul){.x = x, ...})); // any number of operators
//   CHECK(gpu_run(g));
//   gpu_read(g, &y, found);
//
// Everything that was not declared as an output (gaps of 256 bytes around each tensor, the padding of rows, the inputs
// themselves) must hold the same bits afterwards, and two runs must agree in every bit: gpu_run checks both. Gaps,
// padding, outputs and scratch start as NaN of any float type, so that what is read from there shows.
#ifndef GPU_H
#define GPU_H

#include "check.h"
#include "host/base/alloc.h"
#include "host/op/ops.h"
#include "vk/vks.h"

#define GPU_IMAGE_SIZE ((uint64_t)64 << 20)
#define GPU_POISON 0xfffefffdu // NaN as one F32 and as two F16 or BF16; no hardware makes this one
#define GPU_MASK_ALL 0xffffffffu

typedef struct gpu {
    vks_device *device;
    vks_op_target target; // recorder: what gpu_begin started
    const vks_caps *caps;
    const char *label; // for messages: the case whose tensors are placed next
    const char *forced; // the variant that run_variants forces, else NULL
    uint32_t mask_features;
    // the rest belongs to gpu.c
    vks_recorder *recorder, *copy_in, *copy_out;
    vks_arena *arenas[3];
    vks_buffer image, upload, readback;
    uint64_t used;
    uint8_t *writable; // a byte per byte of the image
    uint32_t *first_run;
    struct gpu_place *places;
    size_t n_place, place_capacity;
} gpu;

// The device named by the environment variable VKSSM_TEST_DEVICE (else the library's choice) without these features,
// with validation where the layer is installed. NULL after printing why.
gpu *gpu_open(uint32_t mask_features);
// Destroy all devices. False after printing what was wrong: a validation message, host memory that is still held.
bool gpu_close_all(void);
// Exit status of a program whose first device could not be opened: 77 where there is none, 1 where one was named or is
// broken.
int gpu_absent_status(void);
// Print measurements: environment variable VKSSM_TEST_VERBOSE.
bool gpu_verbose(void);

// Forget all tensors and start recording.
void gpu_begin(gpu *g);

typedef enum gpu_use {
    GPU_IN,
    GPU_OUT,    // starts as NaN
    GPU_IN_OUT, // starts with values, may change
    GPU_WEIGHT, // as GPU_IN, with zeros between the row's end and its stride
} gpu_use;

// Place rows of weights of a block type, encoded; otherwise as gpu_rows. row_stride in words, 0: without padding.
vks_tensor gpu_blocks(gpu *g, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t row_stride, float *values);

// Place rows of floats. `values` [n_row, n_column] are rounded to the type in place, so that a twin sees what the
// device sees; NULL for GPU_OUT. row_stride in elements, 0: n_column. A 16-bit output with an odd number of columns may
// write the element after each row. Exits if the image is full: split the batch (gpu_fits).
vks_tensor gpu_rows(gpu *g, gpu_use use, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t row_stride,
                    float *values);
// The same with I32; values NULL for GPU_OUT.
vks_tensor gpu_words(gpu *g, gpu_use use, uint32_t n_row, uint32_t n_column, uint64_t row_stride,
                     const int32_t *values);
// As a vector.
vks_tensor gpu_vector(gpu *g, float *values, uint32_t n);              // F32 input
vks_tensor gpu_word_vector(gpu *g, const int32_t *values, uint32_t n); // I32 input
bool gpu_fits(const gpu *g, uint64_t n_byte);

// Rows seen with another shape: the first n_leading dimensions together are the rows, the others one row.
vks_tensor gpu_reshape(vks_tensor rows, uint32_t n_leading, uint32_t n_dim, const uint32_t *shape);
#define GPU_SHAPE(...)                                                                                                 \
    (uint32_t) VKS_COUNT(((uint32_t[]){__VA_ARGS__})), (uint32_t[]) {                                                  \
        __VA_ARGS__                                                                                                    \
    }

// Submit and wait, twice. False after printing what was wrong.
bool gpu_run(gpu *g);
// All elements, dense, of any tensor of the image.
void gpu_read(const gpu *g, const vks_tensor *tensor, double *values);
void gpu_read_words(const gpu *g, const vks_tensor *tensor, int32_t *values);

// Memory of a test, zeroed; exits when there is none. Freed by vks_free.
void *gpu_alloc(size_t count, size_t size);
// Uniform numbers in [low, high).
float *gpu_random(uint64_t *seed, size_t n, float low, float high);

#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        vkssm_status check_status = (call);                                                                            \
        check_n_checked++;                                                                                             \
        if (check_status != VKSSM_OK)                                                                                  \
            CHECK_FAIL("%s: %s: %s", #call, vkssm_status_text(check_status), vkssm_last_error());                      \
    } while (0)

// An operator that must refuse its operands, naming the operand (as "matmul: x").
#define CHECK_REFUSED(call, operand)                                                                                   \
    do {                                                                                                               \
        CHECK_EQ((call), VKSSM_ERR_ARG);                                                                               \
        CHECK_CONTAINS(vkssm_last_error(), operand);                                                                   \
    } while (0)

// As check_main; see gpu_absent_status.
static inline int gpu_main(int argc, char **argv, const check_case *cases) {
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (!gpu_open(0)) {
        gpu_close_all();
        return gpu_absent_status();
    }
    int status = check_main(argc, argv, cases);
    return gpu_close_all() ? status : 1;
}

#endif
