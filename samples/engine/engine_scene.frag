// The floor: a grid. The cube: the model's numbers, from blue (below zero) through black to orange (above).
#version 460
layout(push_constant) uniform scene {
    mat4 to_clip;
    vec4 kind; // x: 0 floor, 1 cube; y: one over the numbers' usual size
};
layout(set = 0, binding = 0) uniform sampler2D numbers;
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
    float value = texture(numbers, vec2(uv.x, 1.0 - uv.y)).r * kind.y;
    float strength = 1.0 - exp(-abs(value));
    vec3 tint = value > 0.0 ? vec3(1.0, 0.55, 0.15) : vec3(0.2, 0.5, 1.0);
    float light = 0.55 + 0.45 * max(dot(normal, normalize(vec3(0.4, 0.8, 0.5))), 0.0);
    vec2 edge = step(vec2(0.48), abs(uv - 0.5));
    color = vec4(light * mix(0.06 + tint * strength, vec3(0.8), max(edge.x, edge.y)), 1);
}
