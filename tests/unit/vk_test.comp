// y[i] = SCALE * x[i] + add, for i < n: the shader of the tests of vk/.
//
// Push constants  x, y: device addresses of n uint32 each (they may be equal); n; add
// Mapping         one invocation per element, local_size_x from constant 0
// Constants       0 WG_SIZE   1 SCALE
#version 460
#extension GL_EXT_buffer_reference : require

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint SCALE = 1;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer words { uint at[]; };

layout(push_constant) uniform push_constants {
    words x;
    words y;
    uint n;
    uint add;
} push;

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < push.n) push.y.at[i] = SCALE * push.x.at[i] + push.add;
}
