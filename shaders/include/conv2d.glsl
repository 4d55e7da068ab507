// What the convolution kernels share: where the pixels of a window lie, and what happens to a sum.
// Constants 3 Y_TYPE  4 BIAS (0 none, 1 a row, 2 a row chosen by the image)  5 ADDED  6 ADDED_TYPE  7 ACT  8 ACCUMULATE
#include "params/activation_codes.h"
#include "include/math.glsl"
#include "include/gelu.glsl"
#include "include/act.glsl"

layout(constant_id = 3) const uint Y_TYPE = VKS_TYPE_F32;
layout(constant_id = 4) const uint BIAS = 0;
layout(constant_id = 5) const bool ADDED = false;
layout(constant_id = 6) const uint ADDED_TYPE = VKS_TYPE_F32;
layout(constant_id = 7) const uint ACT = VKS_ACT_CODE_NONE;
layout(constant_id = 8) const bool ACCUMULATE = false;

// The window of input pixels that output pixel m sees; its corner may lie outside the image.
struct Window {
    uint first; // the image's first pixel
    int top, left;
};

Window window_of(uint m) {
    m = min(m, params.n_row - 1); // rows past the end repeat the last one: their results are not stored
    uint row = m / params.out_width;
    Window w;
    w.first = row / params.out_height * (params.in_height * params.in_width);
    w.top = int(row % params.out_height * params.pixel_step) - int(params.pad_top);
    w.left = int(m % params.out_width * params.pixel_step) - int(params.pad_left);
    return w;
}

bool is_inside(Window w, uint ky, uint kx) {
    // A negative coordinate becomes a large one.
    return uint(w.top + int(ky)) < params.in_height && uint(w.left + int(kx)) < params.in_width;
}

// Its first element; of a pixel outside the image that of another one of the same image.
uint pixel_index(Window w, uint ky, uint kx) {
    uint pixel = is_inside(w, ky, kx) ? uint(w.top + int(ky)) * params.in_width + uint(w.left + int(kx)) : 0;
    return (w.first + pixel) * params.x_stride;
}

// The channels of a tap in w.
uint tap_size() {
    return (params.n_channel + 7) & ~7u;
}

// Rows of workgroups are laid out over two dimensions of the grid.
uint row_group() {
    return gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y;
}

// Results n and n+1 (n even) of pixel m.
void store_result(uint m, uint n, vec2 y) {
    if (m >= params.n_row || n >= params.n_out) return;
    bool both = n + 1 < params.n_out;
    if (BIAS != 0) {
        uint at = n;
        if (BIAS == 2) {
            int chosen = int(Floats(params.choice).at[m / (params.out_height * params.out_width)]);
            if (chosen < 0) chosen += int(params.n_choice); // -1 is the last row
            at += uint(clamp(chosen, 0, int(params.n_choice) - 1)) * params.n_out;
        }
        y += vec2(Floats(params.bias).at[at], both ? Floats(params.bias).at[at + 1] : 0.0);
    }
    if (ADDED) {
        uint at = m * params.added_stride + n;
        y += vec2(load1(params.added, ADDED_TYPE, at), both ? load1(params.added, ADDED_TYPE, at + 1) : 0.0);
    }
    y = vec2(activate(ACT, y.x), activate(ACT, y.y));
    uint at = m * params.y_stride + n;
    if (ACCUMULATE) y += vec2(load1(params.y, Y_TYPE, at), both ? load1(params.y, Y_TYPE, at + 1) : 0.0);
    store2(params.y, Y_TYPE, at, y, both);
}
