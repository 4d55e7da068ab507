// A scan with an operator of one's own: the largest number so far, and where it was.
#include <stdio.h>
#include <vkssm/vkssm.h>

typedef struct element { // as the GLSL below has it
    float value;
    uint32_t time;
} element;

// combine must be associative: of two equal numbers the earlier one wins, however the steps are grouped.
static const char *const largest = "struct element { float value; uint time; };\n"
                                   "element identity() { return element(-3.402823466e38, 0xffffffffu); }\n"
                                   "element combine(element left, element right) {\n"
                                   "    return right.value > left.value ? right : left;\n"
                                   "}\n";

int main(void) {
    static element numbers[1000];
    uint32_t state = 1;
    for (uint32_t t = 0; t < 1000; t++) {
        state = state * 1664525u + 1013904223u;
        numbers[t] = (element){(float)(state >> 8) / 16777216, t};
    }

    vkssm_device *device = NULL;
    vkssm_scan_custom *scan = NULL;
    bool failed = true;
    if (vkssm_device_create(NULL, &device)) goto end;
    if (vkssm_scan_create_custom(
            device,
            &(vkssm_scan_custom_params){
                .source = largest, .element_size = sizeof(element), .name = "largest so far", .check = true},
            &scan))
        goto end;
    if (vkssm_scan_custom_run(scan, &(vkssm_scan_custom_run_params){.n_time = 1000,
                                                                    .n_channel = 1,
                                                                    .x = numbers,
                                                                    .y = numbers,
                                                                    .x_size = sizeof numbers,
                                                                    .y_size = sizeof numbers}))
        goto end;
    for (uint32_t t = 0; t < 1000; t++)
        if (numbers[t].time == t) printf("%3u  %.6f\n", t, (double)numbers[t].value); // a new record
    failed = false;
end:
    if (failed) fprintf(stderr, "%s\n", vkssm_last_error());
    vkssm_scan_custom_destroy(&scan);
    vkssm_device_destroy(&device);
    return failed;
}
