// A program that uses the library: with an argument on a device, a scan of four numbers; else without one.
#include <stdio.h>
#include <string.h>
#include <vkssm/vkssm.h>

static int scan(void) {
    const float a = 0.5f, b[] = {1, 2, 3, 4};
    float h[4];
    vkssm_device *device = NULL;
    const vkssm_scan_params params = {.n_time = 4,
                                      .n_channel = 1,
                                      .decay = VKSSM_SCAN_PER_CHANNEL,
                                      .a = &a,
                                      .b = b,
                                      .h = h,
                                      .a_size = sizeof a,
                                      .b_size = sizeof b,
                                      .h_size = sizeof h};
    bool ok = !vkssm_device_create(NULL, &device) && !vkssm_scan_run(device, &params);
    if (ok)
        printf("%g %g %g %g\n", (double)h[0], (double)h[1], (double)h[2], (double)h[3]);
    else
        fprintf(stderr, "%s\n", vkssm_last_error());
    vkssm_device_destroy(&device);
    return !ok;
}

int main(int argc, char **argv) {
    (void)argv;
    char version[32];
    if (vkssm_api_version() != VKSSM_API_VERSION) return 1;
    snprintf(version, sizeof version, "0.%d.%d", VKSSM_API_VERSION, VKSSM_PATCH_VERSION);
    if (strcmp(vkssm_version(), version) != 0) return 1;
    printf("vkssm %s: %s\n", vkssm_version(), vkssm_status_text(VKSSM_ERR_ARG));
    return argc > 1 ? scan() : 0;
}
