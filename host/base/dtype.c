#include <vkssm/base.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[VKSSM_DTYPE_COUNT] = {
    [VKSSM_DTYPE_F32] = {"F32", 4}, [VKSSM_DTYPE_F16] = {"F16", 2},   [VKSSM_DTYPE_BF16] = {"BF16", 2},
    [VKSSM_DTYPE_F64] = {"F64", 8}, [VKSSM_DTYPE_I8] = {"I8", 1},     [VKSSM_DTYPE_U8] = {"U8", 1},
    [VKSSM_DTYPE_I16] = {"I16", 2}, [VKSSM_DTYPE_I32] = {"I32", 4},   [VKSSM_DTYPE_I64] = {"I64", 8},
    [VKSSM_DTYPE_BOOL] = {"BOOL", 1}, [VKSSM_DTYPE_Q8_0] = {"Q8_0", 0}, [VKSSM_DTYPE_Q4_0] = {"Q4_0", 0},
    [VKSSM_DTYPE_Q4_K] = {"Q4_K", 0}, [VKSSM_DTYPE_Q6_K] = {"Q6_K", 0},
};

const char *vkssm_dtype_name(vkssm_dtype dtype) {
    return (unsigned)dtype < VKSSM_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

size_t vkssm_dtype_size(vkssm_dtype dtype) {
    return (unsigned)dtype < VKSSM_DTYPE_COUNT ? dtypes[dtype].size : 0;
}
