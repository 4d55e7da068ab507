// A floor (6 vertices) or a cube (36), made from the vertex's number.
#version 460
layout(push_constant) uniform scene {
    mat4 to_clip;
    vec4 kind; // x: 0 floor, 1 cube
};
layout(location = 0) out vec2 uv;
layout(location = 1) out vec3 normal;

const vec2 corners[6] = vec2[](vec2(0, 0), vec2(1, 0), vec2(1, 1), vec2(0, 0), vec2(1, 1), vec2(0, 1));

void main() {
    vec2 corner = corners[gl_VertexIndex % 6];
    int face = gl_VertexIndex / 6;
    uv = corner;
    vec2 p = corner * 2.0 - 1.0;
    vec3 position = vec3(p.x, -1.0, -p.y) * vec3(8, 1, 8);
    normal = vec3(0, 1, 0);
    if (kind.x > 0.5) {
        const int axis = face / 2;
        const float side = face % 2 == 0 ? 1.0 : -1.0;
        vec3 q = vec3(p.x * side, p.y, 1.0 * side);
        position = axis == 0 ? q.zyx * vec3(1, 1, -1) : axis == 1 ? q.xzy * vec3(1, 1, -1) : q;
        normal = axis == 0 ? vec3(side, 0, 0) : axis == 1 ? vec3(0, side, 0) : vec3(0, 0, side);
    }
    gl_Position = to_clip * vec4(position, 1);
}
