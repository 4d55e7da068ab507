// Store elements i ... i+3, i a multiple of 4; the array starts on 16 bytes (8 for 16-bit types). Behind io.glsl.
void store_vector(uvec2 address, uint type, uint i, vec4 value) {
    if (type == VKS_TYPE_F32) Floats4(address).at[i >> 2] = value;
    else Words2(address).at[i >> 2] = uvec2(pack_result(type, value.xy), pack_result(type, value.zw));
}
