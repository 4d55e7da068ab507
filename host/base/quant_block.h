// Between quant.c and quant_encode.c: putting the parts of a block together.
#ifndef VKS_QUANT_BLOCK_H
#define VKS_QUANT_BLOCK_H

#include "quant.h"

void vks_quant_pack_codes(vkssm_dtype dtype, const uint8_t *codes, uint8_t *block); // in order of the values
void vks_q4k_unpack_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t minima[8]);
void vks_q4k_pack_scales(const uint8_t scales[8], const uint8_t minima[8], uint8_t packed[12]);

#endif
