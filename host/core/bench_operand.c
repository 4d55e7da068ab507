// Operands of the operators' cases: sizes first, then memory and values.
#include "bench_run.h"

#include <string.h>

#include "host/base/half.h"
#include "host/base/quant.h"

enum { ALIGNMENT = 256, N_STRETCH = (1 << 18) - 24, CHECK_PIECE = 16 << 20 };
static const uint32_t poison = 0xfffefffdu; // NaN as one F32 and as two F16 or BF16
static const uint64_t max_checked = (uint64_t)512
                                    << 20; // bytes of outputs, so that no check takes longer than the runs

static uint64_t tensor_size(const vks_tensor *tensor) {
    return vks_align_up(vks_tensor_span(tensor), 16);
}

// A dense tensor, with memory unless only sizes are taken: then its address is made up, and no two are alike.
static vkssm_status take(vks_bench *bench, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape, int n_access,
                         vks_tensor *out, vks_buffer *buffer) {
    bench->n_taken++;
    *out = vks_is_block_type(dtype) ? vks_tensor_blocks(ALIGNMENT, dtype, shape[0], shape[1])
                                    : vks_tensor_dense(ALIGNMENT, dtype, n_dim, shape);
    uint64_t size = tensor_size(out);
    if (!bench->upload) {
        out->address += bench->size;
        bench->size += vks_align_up(size, ALIGNMENT);
        bench->bytes += (uint64_t)n_access * vks_tensor_span(out);
        return VKSSM_OK;
    }
    VKS_TRY(vks_arena_alloc(bench->arena, size, "bench operand", buffer));
    out->address = buffer->address;
    return VKSSM_OK;
}

// ---- inputs --------------------------------------------------------------------------------------------------------

// Element i of the operand that was taken last: splitmix64.
static float uniform(const vks_bench *bench, uint64_t i, float low, float high) {
    uint32_t stream = (uint32_t)bench->n_taken + 0x9e3779b9u * bench->seed;
    uint64_t hash = (((uint64_t)stream << 32 | i) + 1) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return low + (high - low) * (float)(hash >> 40) * 0x1p-24f;
}

static void store(uint8_t *data, vkssm_dtype dtype, uint64_t i, float value) {
    int32_t whole = (int32_t)value;
    uint16_t half = dtype == VKSSM_DTYPE_F16 ? vks_f32_to_f16(value) : vks_f32_to_bf16(value);
    if (dtype == VKSSM_DTYPE_F32)
        memcpy(data + 4 * i, &value, 4);
    else if (dtype == VKSSM_DTYPE_I32)
        memcpy(data + 4 * i, &whole, 4);
    else if (dtype == VKSSM_DTYPE_I8)
        data[i] = (uint8_t)whole;
    else
        memcpy(data + 2 * i, &half, 2);
}

// Rows of a block type, a few of them over and over.
static vkssm_status fill_blocks(vks_bench *bench, const vks_tensor *tensor, float low, float high,
                                const vks_buffer *buffer) {
    enum { N_ROW = 64 };
    uint64_t n = tensor->shape[1], row_size = vks_quant_row_size(tensor->dtype, n), n_row = tensor->shape[0];
    float *values = vks_alloc((size_t)n * sizeof *values);
    uint8_t *blocks = vks_alloc((size_t)vks_quant_file_size(tensor->dtype, n));
    uint8_t *rows = vks_alloc((size_t)(N_ROW * row_size));
    vkssm_status status = VKSSM_OK;
    if (!values || !blocks || !rows)
        status = vks_fail(vks_kernels_log(bench->kernels), VKSSM_ERR_OOM_HOST, "bench: out of memory for inputs");
    for (uint64_t r = 0; r < N_ROW && r < n_row && status == VKSSM_OK; r++) {
        for (uint64_t i = 0; i < n; i++)
            values[i] = uniform(bench, r * n + i, low, high);
        vks_quant_encode(tensor->dtype, values, n, blocks);
        if (bench->observe)
            bench->observe(bench->observer, tensor, r * vks_quant_file_size(tensor->dtype, n), blocks,
                           vks_quant_file_size(tensor->dtype, n));
        vks_quant_repack(tensor->dtype, blocks, n, rows + r * row_size);
    }
    for (uint64_t r = 0; r < n_row && status == VKSSM_OK; r += N_ROW)
        status = vks_upload_bytes(bench->upload, buffer, r * row_size, rows,
                                  (n_row - r < N_ROW ? n_row - r : N_ROW) * row_size);
    vks_free(values);
    vks_free(blocks);
    vks_free(rows);
    return status;
}

// Values are made for a stretch, which is repeated: making each by itself would take longer than the measurement.
vkssm_status vks_bench_input(vks_bench *bench, vkssm_dtype dtype, float low, float high, uint32_t n_dim,
                             const uint32_t *shape, vks_tensor *out) {
    vks_buffer buffer;
    VKS_TRY(take(bench, dtype, n_dim, shape, 1, out, &buffer));
    if (!bench->upload) return VKSSM_OK;
    if (vks_is_block_type(dtype)) return fill_blocks(bench, out, low, high, &buffer);
    uint64_t size = vks_tensor_span(out), element = vkssm_dtype_size(dtype), n = size / element;
    if (n > N_STRETCH) n = N_STRETCH;
    uint8_t *stretch = vks_alloc((size_t)(n * element));
    if (!stretch)
        return vks_fail(vks_kernels_log(bench->kernels), VKSSM_ERR_OOM_HOST, "bench: out of memory for inputs");
    for (uint64_t i = 0; i < n; i++)
        store(stretch, dtype, i, uniform(bench, i, low, high));
    vkssm_status status = VKSSM_OK;
    if (bench->observe) bench->observe(bench->observer, out, 0, stretch, n * element);
    for (uint64_t at = 0; at < size && status == VKSSM_OK; at += n * element)
        status =
            vks_upload_bytes(bench->upload, &buffer, at, stretch, size - at < n * element ? size - at : n * element);
    vks_free(stretch);
    return status;
}

vkssm_status vks_bench_words(vks_bench *bench, const uint32_t *words, bool written, uint32_t n_dim,
                             const uint32_t *shape, vks_tensor *out) {
    vks_buffer buffer;
    VKS_TRY(take(bench, VKSSM_DTYPE_I32, n_dim, shape, written ? 2 : 1, out, &buffer));
    return bench->upload ? vks_upload_bytes(bench->upload, &buffer, 0, words, vks_tensor_span(out)) : VKSSM_OK;
}

vkssm_status vks_bench_scratch(vks_bench *bench, uint64_t n, vks_tensor *out) {
    *out = (vks_tensor){0};
    if (n == 0) return VKSSM_OK;
    if (n > UINT32_MAX)
        return vks_fail(vks_kernels_log(bench->kernels), VKSSM_ERR_UNSUPPORTED,
                        "bench: scratch of at most 2^32 - 1 floats expected, %llu needed", (unsigned long long)n);
    *out = vks_tensor_dense(ALIGNMENT, VKSSM_DTYPE_F32, 1, (uint32_t[]){(uint32_t)n});
    if (!bench->upload) {
        bench->scratch_size = n * sizeof(float);
        return VKSSM_OK;
    }
    if (!bench->scratch.address)
        VKS_TRY(vks_arena_alloc(bench->arena, n * sizeof(float), "bench scratch", &bench->scratch));
    out->address = bench->scratch.address;
    return VKSSM_OK;
}

// ---- outputs -------------------------------------------------------------------------------------------------------

static vkssm_status take_result(vks_bench *bench, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape,
                                bool is_state, vks_tensor *out) {
    vks_bench_result_operand result = {.is_state = is_state};
    VKS_TRY(take(bench, dtype, n_dim, shape, is_state ? 2 : 1, out, &result.buffer));
    if (!bench->upload) return VKSSM_OK;
    result.dtype = dtype;
    result.size = vks_tensor_span(out);
    if (!vks_grow((void **)&bench->results, &bench->result_capacity, bench->n_result + 1, sizeof *bench->results))
        return vks_fail(vks_kernels_log(bench->kernels), VKSSM_ERR_OOM_HOST, "bench: out of memory for outputs");
    bench->results[bench->n_result++] = result;
    return VKSSM_OK;
}

vkssm_status vks_bench_output(vks_bench *bench, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape,
                              vks_tensor *out) {
    return take_result(bench, dtype, n_dim, shape, false, out);
}

vkssm_status vks_bench_state(vks_bench *bench, uint32_t n_dim, const uint32_t *shape, vks_tensor *out) {
    return take_result(bench, VKSSM_DTYPE_F32, n_dim, shape, true, out);
}

static vkssm_status run_and_wait(vks_device *device, vks_recorder *recorder) {
    uint64_t value;
    VKS_TRY(vks_recorder_end(recorder));
    VKS_TRY(vks_submit(device, &recorder, 1, &value));
    return vks_wait(device, value);
}

vkssm_status vks_bench_poison(vks_bench *bench) {
    vks_device *device = vks_kernels_device(bench->kernels);
    vks_recorder *recorder;
    vkssm_status status;
    VKS_TRY(vks_recorder_create(device, "bench poison", &recorder));
    VKS_TRY_GOTO(vks_recorder_begin(recorder, false), done);
    for (size_t i = 0; i < bench->n_result; i++) {
        const vks_bench_result_operand *r = &bench->results[i];
        vks_record_fill(recorder, &r->buffer, 0, r->buffer.size, r->is_state ? 0 : poison);
    }
    if (bench->scratch.address) vks_record_fill(recorder, &bench->scratch, 0, bench->scratch.size, poison);
    status = run_and_wait(device, recorder);
done:
    vks_recorder_destroy(&recorder);
    return status;
}

// What was found in an output so far.
typedef struct findings {
    uint64_t n_bad, first_bad; // values that are not finite; I32: never written
    bool any;                  // a value that is not zero
} findings;

static void look(const uint8_t *data, vkssm_dtype dtype, uint64_t n, uint64_t first, findings *f) {
    uint32_t exponent = dtype == VKSSM_DTYPE_F16 ? 0x7c00u : dtype == VKSSM_DTYPE_BF16 ? 0x7f80u : 0x7f800000u;
    uint64_t element = vkssm_dtype_size(dtype);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        memcpy(&bits, data + i * element, element); // in the low bytes: everything here is little-endian, as Vulkan is
        bool is_bad = dtype == VKSSM_DTYPE_I32 ? bits == poison : (bits & exponent) == exponent;
        if (is_bad && f->n_bad++ == 0) f->first_bad = first + i;
        f->any = f->any || bits << (8 * (4 - element) + 1) != 0; // a negative zero is one too
    }
}

static vkssm_status check_result(vks_device *device, vks_recorder *recorder, const vks_buffer *readback,
                                 const vks_bench_result_operand *result, const char *name) {
    findings f = {0};
    uint64_t element = vkssm_dtype_size(result->dtype);
    for (uint64_t at = 0; at < result->size; at += CHECK_PIECE) {
        uint64_t size = result->size - at < CHECK_PIECE ? result->size - at : CHECK_PIECE;
        VKS_TRY(vks_recorder_begin(recorder, false));
        vks_record_copy(recorder, readback, 0, &result->buffer, at, vks_align_up(size, 4));
        VKS_TRY(run_and_wait(device, recorder));
        look(readback->mapped, result->dtype, size / element, at / element, &f);
    }
    if (f.n_bad)
        return vks_fail(vks_device_log(device), VKSSM_ERR_INTERNAL,
                        "%s: finite outputs expected, %llu of %llu found that are not, the first at %llu", name,
                        (unsigned long long)f.n_bad, (unsigned long long)(result->size / element),
                        (unsigned long long)f.first_bad);
    if (!f.any && !result->is_state)
        return vks_fail(vks_device_log(device), VKSSM_ERR_INTERNAL, "%s: outputs other than zero expected, none found",
                        name);
    return VKSSM_OK;
}

vkssm_status vks_bench_check(vks_bench *bench, const char *name) {
    vks_device *device = vks_kernels_device(bench->kernels);
    vks_recorder *recorder = NULL;
    vks_arena *arena = NULL;
    vks_buffer readback;
    uint64_t checked = 0;
    vkssm_status status;
    VKS_TRY_GOTO(vks_arena_create(device, VKS_ROLE_READBACK, CHECK_PIECE, "bench check", &arena), done);
    VKS_TRY_GOTO(vks_arena_alloc(arena, CHECK_PIECE, "bench check", &readback), done);
    VKS_TRY_GOTO(vks_recorder_create(device, "bench check", &recorder), done);
    for (size_t i = 0; i < bench->n_result && checked < max_checked; i++) {
        VKS_TRY_GOTO(check_result(device, recorder, &readback, &bench->results[i], name), done);
        checked += bench->results[i].size;
    }
done:
    vks_recorder_destroy(&recorder);
    vks_arena_destroy(&arena);
    return status;
}

void vks_bench_finish(vks_bench *bench) {
    vks_upload_abort(&bench->upload);
    vks_arena_destroy(&bench->arena);
    vks_free(bench->results);
    *bench = (vks_bench){0};
}
