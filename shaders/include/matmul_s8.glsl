// What kernels of matmul_s8 share: storing two neighbouring results of a row. Define Y_TYPE and have the parameters and
// io.glsl before it.
float scale_of(uvec2 scales, uint i) {
    return is_null(scales) ? 1.0 : Floats(scales).at[i];
}

// Sums of outputs n and n+1, n even; `both` false: n is the last one.
void store_sums(uint m, uint n, ivec2 sums, bool both) {
    uint at = m * params.y_stride + n;
    if (Y_TYPE == VKS_TYPE_I32) {
        Words(params.y).at[at] = uint(sums.x);
        if (both) Words(params.y).at[at + 1] = uint(sums.y);
        return;
    }
    vec2 w_scale = vec2(scale_of(params.w_scale, n), both ? scale_of(params.w_scale, n + 1) : 0.0);
    store2(params.y, Y_TYPE, at, scale_of(params.x_scale, m) * w_scale * vec2(sums), both);
}
