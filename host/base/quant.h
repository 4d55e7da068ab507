// Block types: rows of weights in blocks of 32 or 256 values that share scales. How a block lies in a file is GGUF's layout;
// how a row lies on the device is this library's: codes first, in words that unpack by masks, then what scales them.
#ifndef VKS_QUANT_H
#define VKS_QUANT_H

#include <vkssm/base.h>

bool vks_is_block_type(vkssm_dtype dtype);
// Values of a block, and its bytes in a file; 1 and vkssm_dtype_size for other types.
uint32_t vks_block_length(vkssm_dtype dtype);
uint32_t vks_block_size(vkssm_dtype dtype);

// Of block types, n a multiple of the block length; no data need be aligned.
uint64_t vks_quant_file_size(vkssm_dtype dtype, uint64_t n); // bytes of n values in a file
void vks_quant_decode(vkssm_dtype dtype, const void *blocks, uint64_t n, float *values);
// values: finite. Each format by a search for the scales of least squared error.
void vks_quant_encode(vkssm_dtype dtype, const float *values, uint64_t n, void *blocks);

// A row on the device, a multiple of 16 bytes, as shaders/include/weights.glsl reads it:
//   Q8_0  K codes of a byte | K/32 float16 scales
//   Q4_0  K/2 bytes of codes | K/32 float16 scales
//   Q4_K  K/2 bytes of codes | for each 256 values 4 words: scale and scale of the minima (2 float16), low 4 bits of the 8
//         scales, low 4 bits of the 8 minima, their high 2 bits (scales in the low half)
//   Q6_K  K/2 bytes of the codes' low 4 bits | K/4 bytes of their high 2 bits | K/16 scales of a byte | K/256 float16
// Byte i of a word of 4-bit codes holds those of values i (low) and i + 4 of the word's 8; byte i of a word of 2-bit codes
// those of i, i + 4, i + 8 and i + 12 of its 16, from the low bits up.
uint64_t vks_quant_row_size(vkssm_dtype dtype, uint64_t n);
void vks_quant_repack(vkssm_dtype dtype, const void *blocks, uint64_t n, void *row);

// What a model whose matrices become `dtype` keeps its embedding and its head in: they decide what is said, and are a
// small part of a large model.
vkssm_dtype vks_quant_table_type(vkssm_dtype dtype);
// `dtype`, or the nearest more exact type whose blocks divide rows of n values.
vkssm_dtype vks_quant_fitting_type(vkssm_dtype dtype, uint64_t n);

#endif
