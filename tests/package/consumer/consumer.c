// A program that uses the installed library and no device.
#include <stdio.h>
#include <vkssm/vkssm.h>

int main(void) {
    if (vkssm_api_version() != VKSSM_API_VERSION) return 1;
    printf("vkssm %u: %s\n", (unsigned)vkssm_api_version(), vkssm_status_text(VKSSM_ERR_ARG));
    return 0;
}
