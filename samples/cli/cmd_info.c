// vkssm info: devices, capabilities, kernel variants.
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common.h"
#include "kernel_check.h"

static const struct {
    uint32_t bit;
    const char *name, *use;
} features[] = {
#define FEATURE_ROW(NAME, bit, name, use) {UINT32_C(1) << bit, name, use},
    VKSSM_FEATURE_MAP(FEATURE_ROW)
#undef FEATURE_ROW
};
enum { N_FEATURE = sizeof features / sizeof *features };

static const char *type_name(vkssm_device_type type) {
    switch (type) {
    case VKSSM_DEVICE_OTHER:
        return "other";
    case VKSSM_DEVICE_INTEGRATED:
        return "integrated";
    case VKSSM_DEVICE_DISCRETE:
        return "discrete";
    case VKSSM_DEVICE_VIRTUAL:
        return "virtual";
    case VKSSM_DEVICE_CPU:
        return "cpu";
    }
    return "unknown";
}

static void format_version(uint32_t version, char text[24]) { // VK_MAKE_API_VERSION's coding
    snprintf(text, 24, "%u.%u.%u", version >> 22 & 0x7fu, version >> 12 & 0x3ffu, version & 0xfffu);
}

static double gibibytes(uint64_t size) {
    return (double)size / (1 << 30);
}

static int list_devices(vkssm_device_info **out, uint32_t *n_out) {
    uint32_t n = 0;
    *n_out = 0;
    *out = NULL;
    if (vkssm_device_list(NULL, NULL, &n)) return cli_library_failed(NULL);
    if (n == 0) return cli_fail("expected a Vulkan device, found none");
    uint32_t n_room = n;
    *out = calloc(n_room, sizeof **out);
    if (!*out) return cli_fail("the list of devices: out of host memory");
    if (vkssm_device_list(NULL, *out, &n)) {
        free(*out);
        *out = NULL;
        return cli_library_failed(NULL);
    }
    *n_out = n < n_room ? n : n_room; // one may have come or gone in between
    return CLI_OK;
}

// Place of the open device in the list, or n. A selection by index says it; else it is the first one that looks alike.
static uint32_t selected_index(const cli_setup *setup, const cli_run *run, const vkssm_device_info *infos, uint32_t n) {
    if (!run->device) return n;
    if (setup->device && isdigit((unsigned char)setup->device[0])) {
        char *end;
        unsigned long index = strtoul(setup->device, &end, 10);
        if (!*end && index < n) return (uint32_t)index;
    }
    for (uint32_t i = 0; i < n; i++)
        if (infos[i].usable && strcmp(infos[i].name, run->device_info.name) == 0 &&
            strcmp(infos[i].driver, run->device_info.driver) == 0)
            return i;
    return n;
}

static void print_devices(const vkssm_device_info *infos, uint32_t n, uint32_t selected) {
    printf("devices\n");
    for (uint32_t i = 0; i < n; i++) {
        const vkssm_device_info *info = &infos[i];
        char version[24];
        format_version(info->api_version, version);
        printf("  %" PRIu32 "  %s, %s, %s, Vulkan %s%s\n", i, info->name, info->driver, type_name(info->type), version,
               i == selected ? " (selected)" : "");
        if (!info->usable) printf("     not usable: %s\n", info->unusable_reason);
    }
}

static void print_capabilities(const vkssm_device_info *info) {
    printf("\ncapabilities\n");
    for (int i = 0; i < N_FEATURE; i++) {
        const char *state = info->features & features[i].bit          ? "yes"
                            : info->features_masked & features[i].bit ? "masked"
                                                                      : "no";
        printf("  %-22s%-8s%s\n", features[i].name, state, features[i].use);
    }
}

static void print_variants(const vkssm_device *device) {
    uint32_t n = vkssm_device_n_variant(device), n_available = 0;
    int width = 0;
    vkssm_variant_info variant;
    for (uint32_t i = 0; i < n; i++) {
        vkssm_device_get_variant(device, i, &variant);
        n_available += variant.available;
        if ((int)strlen(variant.name) > width) width = (int)strlen(variant.name);
    }
    printf("\nkernel variants: %" PRIu32 " of %" PRIu32 " in use\n", n_available, n);
    for (uint32_t i = 0; i < n; i++) {
        vkssm_device_get_variant(device, i, &variant);
        if (variant.available)
            printf("  %-*s  yes\n", width, variant.name);
        else
            printf("  %-*s  no: %s\n", width, variant.name, variant.reason ? variant.reason : "not said");
    }
}

static void print_selected(const cli_run *run) {
    const vkssm_device_info *info = &run->device_info;
    char version[24];
    format_version(info->api_version, version);
    printf("\nselected device\n");
    printf("  name                  %s\n", info->name);
    printf("  driver                %s\n", info->driver);
    printf("  type                  %s\n", type_name(info->type));
    printf("  vendor, device        0x%04" PRIx32 ", 0x%04" PRIx32 "\n", info->vendor_id, info->device_id);
    printf("  Vulkan                %s\n", version);
    printf("  subgroup size         %" PRIu32 " (%" PRIu32 " to %" PRIu32 ")\n", info->subgroup_size,
           info->subgroup_size_min, info->subgroup_size_max);
    printf("  workgroup             %" PRIu32 " invocations, %.1f KiB of shared memory\n",
           info->max_workgroup_invocations, info->max_shared_size / 1024.0);
    printf("  memory                %.2f GiB, %.2f GiB of it for this process, %.2f GiB in one allocation\n",
           gibibytes(info->memory_size), gibibytes(info->memory_budget), gibibytes(info->max_allocation_size));
    print_capabilities(info);
    print_variants(run->device);
}

static void json_text(const char *key, const char *value) {
    printf("\"%s\": ", key);
    if (value)
        cli_json_string(value);
    else
        printf("null");
}

static void json_features(const char *key, uint32_t bits) {
    const char *comma = "";
    printf("\"%s\": [", key);
    for (int i = 0; i < N_FEATURE; i++) {
        if (!(bits & features[i].bit)) continue;
        printf("%s\"%s\"", comma, features[i].name);
        comma = ", ";
    }
    printf("]");
}

// The members of a device's object, without its braces.
static void json_device(const vkssm_device_info *info) {
    char version[24];
    format_version(info->api_version, version);
    json_text("name", info->name);
    printf(", ");
    json_text("driver", info->driver);
    printf(", ");
    json_text("type", type_name(info->type));
    printf(", \"vendor_id\": %" PRIu32 ", \"device_id\": %" PRIu32 ", ", info->vendor_id, info->device_id);
    json_text("api_version", version);
    printf(", ");
    json_features("features", info->features);
    printf(", ");
    json_features("features_masked", info->features_masked);
    printf(", \"subgroup_size\": %" PRIu32 ", \"subgroup_size_min\": %" PRIu32 ", \"subgroup_size_max\": %" PRIu32,
           info->subgroup_size, info->subgroup_size_min, info->subgroup_size_max);
    printf(", \"max_workgroup_invocations\": %" PRIu32 ", \"max_shared_size\": %" PRIu32,
           info->max_workgroup_invocations, info->max_shared_size);
    printf(", \"memory_size\": %" PRIu64 ", \"memory_budget\": %" PRIu64 ", \"max_allocation_size\": %" PRIu64,
           info->memory_size, info->memory_budget, info->max_allocation_size);
    printf(", \"usable\": %s, ", info->usable ? "true" : "false");
    json_text("unusable_reason", info->usable ? NULL : info->unusable_reason);
}

static void json_variants(const vkssm_device *device) {
    uint32_t n = vkssm_device_n_variant(device);
    printf("\"variants\": [");
    for (uint32_t i = 0; i < n; i++) {
        vkssm_variant_info variant;
        vkssm_device_get_variant(device, i, &variant);
        printf("%s\n    {", i ? "," : "");
        json_text("name", variant.name);
        printf(", \"available\": %s, ", variant.available ? "true" : "false");
        json_text("reason", variant.reason);
        printf("}");
    }
    printf("]");
}

static void print_json(const cli_run *run, const vkssm_device_info *infos, uint32_t n, uint32_t selected) {
    printf("{\"vkssm_api_version\": %u,\n \"devices\": [", (unsigned)vkssm_api_version());
    for (uint32_t i = 0; i < n; i++) {
        printf("%s\n  {\"index\": %" PRIu32 ", ", i ? "," : "", i);
        json_device(&infos[i]);
        printf("}");
    }
    printf("],\n \"selected\": ");
    if (run->device) {
        printf("{\"index\": ");
        if (selected < n)
            printf("%" PRIu32, selected);
        else
            printf("null");
        printf(", ");
        json_device(&run->device_info);
        printf(",\n   ");
        json_variants(run->device);
        printf("}");
    } else {
        printf("null");
    }
    printf("}\n");
}

static int check_device(const cli_setup *setup, const char *only) {
    cli_run run = {0};
    int status = cli_open_device(setup, &run);
    if (status == CLI_OK) status = cli_check_kernels(&run, only);
    return cli_close(&run, cli_end_output(status));
}

int cmd_info(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    bool json = false, check = false;
    const char *only = NULL;
    const cli_option options[] = {
        {.name = "--json", .help = "print one JSON object", .type = CLI_FLAG, .value = &json},
        {.name = "--check",
         .help = "run every kernel on small inputs and compare with what is known; a table for bug reports",
         .type = CLI_FLAG,
         .value = &check},
        {.name = "--case",
         .argument = "NAME",
         .help = "check only the cases whose names begin so, such as scan/",
         .type = CLI_TEXT,
         .value = &only},
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    if (check && json) return cli_usage(command, "--check prints a table, --json none: expected one of them");
    if (only && !check) return cli_usage(command, "--case needs --check");
    if (check) return check_device(&setup, only);

    vkssm_device_info *infos = NULL;
    uint32_t n_info = 0;
    status = list_devices(&infos, &n_info);
    if (status) return status;
    cli_run run = {0};
    status = cli_open_device(&setup, &run); // where it fails, the list shows why
    uint32_t selected = selected_index(&setup, &run, infos, n_info);
    if (json) {
        print_json(&run, infos, n_info, selected);
    } else {
        print_devices(infos, n_info, selected);
        if (run.device) print_selected(&run);
    }
    free(infos);
    return cli_close(&run, cli_end_output(status));
}
