// What kernels on cooperative matrices share: the operands' element type and vectors of 8 of them. Define BF16 for
// bfloat16 operands; without it they are float16. Include it behind io.glsl, whose uvec4 words hold 8 elements.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#ifdef BF16
#extension GL_EXT_bfloat16 : require
#define ELEMENT bfloat16_t
const uint ELEMENT_TYPE = VKS_TYPE_BF16;
#else
#define ELEMENT float16_t
const uint ELEMENT_TYPE = VKS_TYPE_F16;
#endif
#pragma use_vulkan_memory_model

#define MATRIX_A coopmat<ELEMENT, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA>
#define MATRIX_B coopmat<ELEMENT, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB>
#define MATRIX_SUM coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define MATRIX_OUT coopmat<ELEMENT, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>
#define ROWS gl_CooperativeMatrixLayoutRowMajor
#define COLUMNS gl_CooperativeMatrixLayoutColumnMajor

// Sums as elements of the operands' type, rounded to nearest: a conversion of matrices to bfloat16 may cut off instead.
// float16 ends at 65504, as in pack_result.
MATRIX_OUT to_elements(MATRIX_SUM sums) {
#ifdef BF16
    for (int i = 0; i < sums.length(); i++) sums[i] = uintBitsToFloat(bf16_bits(sums[i]) << 16);
#else
    for (int i = 0; i < sums.length(); i++) sums[i] = abs(sums[i]) > 65504.0 ? sign(sums[i]) * 65504.0 : sums[i];
#endif
    return MATRIX_OUT(sums);
}

// 8 values as elements, rounded to nearest.
uvec4 pack_vector(vec4 low, vec4 high) {
    return uvec4(pack_pair(ELEMENT_TYPE, low.xy), pack_pair(ELEMENT_TYPE, low.zw), pack_pair(ELEMENT_TYPE, high.xy),
                 pack_pair(ELEMENT_TYPE, high.zw));
}
