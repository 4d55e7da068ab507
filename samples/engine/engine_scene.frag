// The floor: a grid. The cube: a frame of video, -1 black and 1 white, within an edge.
#version 460
layout(push_constant) uniform scene {
    mat4 to_clip;
    vec4 kind; // x: 0 floor, 1 cube; y: 0 the model reads, 1 it predicts
};
layout(set = 0, binding = 0) uniform sampler2D video;
layout(location = 0) in vec2 uv;
layout(location = 1) in vec3 normal;
layout(location = 0) out vec4 color;

void main() {
    if (kind.x < 0.5) {
        vec2 cell = abs(fract(uv * 16.0) - 0.5);
        float line = step(0.46, max(cell.x, cell.y));
        color = vec4(mix(vec3(0.10, 0.11, 0.13), vec3(0.25, 0.28, 0.33), line), 1);
        return;
    }
    float value = 0.5 + 0.5 * clamp(texture(video, vec2(uv.x, 1.0 - uv.y)).r, -1.0, 1.0);
    float light = 0.55 + 0.45 * max(dot(normal, normalize(vec3(0.4, 0.8, 0.5))), 0.0);
    vec2 edge = step(vec2(0.47), abs(uv - 0.5));
    vec3 tint = kind.y > 0.5 ? vec3(0.90, 0.48, 0.22) : vec3(0.25, 0.70, 0.38);
    color = vec4(light * mix(vec3(0.06 + 0.94 * value), tint, max(edge.x, edge.y)), 1);
}
