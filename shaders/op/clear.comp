// clear: words become 0
// Push      shaders/params/clear.h
// Mapping   an invocation a word
// Constants 0 WG_SIZE
// Needs     nothing
// Numerics  none
// Twin      tests/ref/ref_mixer_step.c, whose operator it prepares
#version 460
#extension GL_GOOGLE_include_directive : require
#include "params/clear.h"
#include "include/io.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WG_SIZE = 256;

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < params.n_word) Words(params.words).at[i] = 0;
}
