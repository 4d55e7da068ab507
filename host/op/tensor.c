#include "tensor.h"

#include <assert.h>

#include "host/base/quant.h"

// Bytes that strides count.
static uint64_t unit(const vks_tensor *tensor) {
    return vks_is_block_type(tensor->dtype) ? sizeof(uint32_t) : vkssm_dtype_size(tensor->dtype);
}

vks_tensor vks_tensor_dense(uint64_t address, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape) {
    assert(n_dim >= 1 && n_dim <= VKS_TENSOR_MAX_DIM);
    vks_tensor tensor = {.address = address, .dtype = dtype, .n_dim = n_dim};
    uint64_t stride = 1;
    for (uint32_t i = n_dim; i-- > 0;) {
        tensor.shape[i] = shape[i];
        tensor.stride[i] = stride;
        stride *= shape[i];
    }
    return tensor;
}

vks_tensor vks_tensor_rows(uint64_t address, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column,
                           uint64_t row_stride) {
    return (vks_tensor){
        .address = address, .dtype = dtype, .n_dim = 2, .shape = {n_row, n_column}, .stride = {row_stride, 1}};
}

vks_tensor vks_tensor_blocks(uint64_t address, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column) {
    return vks_tensor_rows(address, dtype, n_row, n_column, vks_quant_row_size(dtype, n_column) / sizeof(uint32_t));
}

vks_tensor vks_tensor_slice(vks_tensor tensor, uint32_t dim, uint32_t begin, uint32_t count) {
    assert(dim < tensor.n_dim && begin <= tensor.shape[dim] && count <= tensor.shape[dim] - begin);
    assert(dim == 0 || !vks_is_block_type(tensor.dtype));
    tensor.address += begin * tensor.stride[dim] * unit(&tensor);
    tensor.shape[dim] = count;
    return tensor;
}

vks_tensor vks_tensor_split_last(vks_tensor tensor, uint32_t n_outer, uint32_t n_inner) {
    uint32_t last = tensor.n_dim - 1;
    assert(tensor.n_dim < VKS_TENSOR_MAX_DIM && tensor.stride[last] == 1);
    assert((uint64_t)n_outer * n_inner == tensor.shape[last]);
    tensor.n_dim++;
    tensor.shape[last] = n_outer;
    tensor.stride[last] = n_inner;
    tensor.shape[last + 1] = n_inner;
    tensor.stride[last + 1] = 1;
    return tensor;
}

vks_tensor vks_tensor_sequences(vks_tensor rows, uint32_t n_sequence, uint32_t n_time) {
    assert(rows.n_dim == 2 && (uint64_t)n_sequence * n_time == rows.shape[0]);
    uint64_t stride = rows.stride[0];
    return (vks_tensor){
        .address = rows.address,
        .dtype = rows.dtype,
        .n_dim = 3,
        .shape = {n_sequence, n_time, rows.shape[1]},
        .stride = {n_time * stride, stride, rows.stride[1]},
    };
}

uint64_t vks_tensor_span(const vks_tensor *tensor) {
    if (!tensor->address) return 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < tensor->n_dim; i++) {
        if (tensor->shape[i] == 0) return 0;
        last += (tensor->shape[i] - 1) * tensor->stride[i];
    }
    if (vks_is_block_type(tensor->dtype)) // rows are dense, and their elements have no place of their own
        return (tensor->shape[0] - 1) * tensor->stride[0] * unit(tensor) +
               vks_quant_row_size(tensor->dtype, tensor->shape[1]);
    return (last + 1) * vkssm_dtype_size(tensor->dtype);
}

vks_tensor vks_tensor_images(vks_tensor rows, uint32_t height, uint32_t width) {
    uint64_t stride = rows.stride[0];
    return (vks_tensor){
        .address = rows.address,
        .dtype = rows.dtype,
        .n_dim = 4,
        .shape = {rows.shape[0] / (height * width), height, width, rows.shape[1]},
        .stride = {height * width * stride, width * stride, stride, 1},
    };
}
