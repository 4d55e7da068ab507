// A tensor: a typed, strided view of device memory. It owns nothing. A matrix of a block type lies as host/base/quant.h
// says, and its stride[0] counts 32-bit words.
#ifndef VKS_TENSOR_H
#define VKS_TENSOR_H

#include <vkssm/base.h>

#define VKS_TENSOR_MAX_DIM 4

typedef struct vks_tensor {
    uint64_t address; // of the first element; 0: there is no tensor (for optional operands)
    vkssm_dtype dtype;
    uint32_t n_dim;
    uint32_t shape[VKS_TENSOR_MAX_DIM];  // last dimension fastest
    uint64_t stride[VKS_TENSOR_MAX_DIM]; // elements between neighbours of each dimension
} vks_tensor;

// A dense tensor; shape given as n_dim numbers.
vks_tensor vks_tensor_dense(uint64_t address, vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape);
// Rows of n_column elements, row_stride elements apart.
vks_tensor vks_tensor_rows(uint64_t address, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column, uint64_t row_stride);
// The same of a block type, one row after the other.
vks_tensor vks_tensor_blocks(uint64_t address, vkssm_dtype dtype, uint32_t n_row, uint32_t n_column);
// Entries begin ... begin+count-1 of dimension dim; of block types only of dimension 0.
vks_tensor vks_tensor_slice(vks_tensor tensor, uint32_t dim, uint32_t begin, uint32_t count);
// The last dimension seen as shape[0] x shape[1] ([T, H P] as [T, H, P]); it must be dense and of that size.
vks_tensor vks_tensor_split_last(vks_tensor tensor, uint32_t n_outer, uint32_t n_inner);
// Rows [N height width, C], one a pixel, as images [N, height, width, C].
vks_tensor vks_tensor_images(vks_tensor rows, uint32_t height, uint32_t width);

// Rows [B T, C] as [B, T, C].
vks_tensor vks_tensor_sequences(vks_tensor rows, uint32_t n_sequence, uint32_t n_time);

// Bytes from the first element to the end of the last one; 0 if a dimension is 0 or there is no tensor.
uint64_t vks_tensor_span(const vks_tensor *tensor);

#endif
