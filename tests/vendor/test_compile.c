// Every kernel compiled for a GPU that is not here: by RADV's null device, or by Intel's driver on a stub of the
// kernel's interface. Both compile for real and run nothing. Each operator is asked, without a recorder, for shapes of
// large models with every variant that the device could choose; what the compiler tells of registers, spills and shared
// memory is held against the family's file of budgets.
//
//   VKSSM_TEST_FAMILY    as the driver spells it; several spellings, separated by commas: the first that it knows
//   VKSSM_TEST_VARIABLE  the environment variable by which this driver is told of it
//   VKSSM_TEST_SUBGROUP  the subgroup size to require
//   VKSSM_TEST_BRIEF     few shapes a variant, where compiling takes long
//   VKSSM_TEST_SINCE     the version of Mesa that knows the family
//   VKSSM_TEST_BUDGETS   the folder of budgets
#define _POSIX_C_SOURCE 200809L // setenv, fork
#include <sys/wait.h>
#include <unistd.h>

#include "harness/check.h"
#include "host/base/alloc.h"
#include "host/base/quant.h"
#include "host/op/ops.h"
#include "shaders/params/sample.h"
#include "vk/vks.h"

#include "vendor/budget.h"

#define F32 VKSSM_DTYPE_F32
#define F16 VKSSM_DTYPE_F16
#define I32 VKSSM_DTYPE_I32

static vks_device *device;
static vks_op_target target; // no recorder: operands are checked, kernels compiled, nothing is recorded
enum { SOMEWHERE = 4096 };   // addresses are not looked at
static bool brief;
static char family[32]; // as the file of budgets is called

static vks_tensor dense(vkssm_dtype dtype, uint32_t n_dim, const uint32_t *shape) {
    return vks_tensor_dense(SOMEWHERE, dtype, n_dim, shape);
}
#define DENSE(dtype, ...) dense(dtype, (uint32_t)VKS_COUNT(((uint32_t[]){__VA_ARGS__})), (uint32_t[]){__VA_ARGS__})

static void compile_products(vkssm_dtype type) {
    const uint32_t rows[] = {1, 4, 64, 2048};
    for (size_t i = 0; i < VKS_COUNT(rows); i++)
        CHECK_EQ(vks_op_matmul(&target, &(vks_matmul){.x = DENSE(type, rows[i], 2560),
                                                      .w = DENSE(F16, 10576, 2560),
                                                      .y = DENSE(type, rows[i], 10576)}),
                 VKSSM_OK);
}

// Few outputs of many inputs: split along k where that is worth its parts; and the sum of parts by itself.
static void compile_split(vkssm_dtype type) {
    vks_matmul op = {
        .x = DENSE(type, 512, 5120), .w = DENSE(type, 2560, 5120), .y = DENSE(F32, 512, 2560), .accumulate = true};
    uint64_t n_float = vks_matmul_scratch_size(target.kernels, &op);
    if (n_float) op.scratch = DENSE(F32, (uint32_t)n_float);
    CHECK_EQ(vks_op_matmul(&target, &op), VKSSM_OK);
    CHECK_EQ(vks_op_sum_parts(
                 &target,
                 &(vks_sum_parts){.parts = DENSE(F32, 4, 512, 2560), .y = DENSE(type, 512, 2560), .accumulate = true}),
             VKSSM_OK);
}

static void compile_s8(vkssm_dtype y) {
    for (uint32_t n_row = 16; n_row <= 2048; n_row *= 128)
        CHECK_EQ(vks_op_matmul_s8(&target, &(vks_matmul_s8){.x = DENSE(VKSSM_DTYPE_I8, n_row, 2560),
                                                            .w = DENSE(VKSSM_DTYPE_I8, 10576, 2560),
                                                            .x_scale = DENSE(F32, n_row),
                                                            .w_scale = DENSE(F32, 10576),
                                                            .y = DENSE(y, n_row, 10576)}),
                 VKSSM_OK);
}

static void compile_blocks(void) {
    const vkssm_dtype types[] = {VKSSM_DTYPE_Q8_0, VKSSM_DTYPE_Q4_0, VKSSM_DTYPE_Q4_K, VKSSM_DTYPE_Q6_K};
    for (size_t i = 0; i < VKS_COUNT(types); i++)
        for (uint32_t n_row = 1; n_row <= 64; n_row += 63)
            CHECK_EQ(vks_op_matmul(&target, &(vks_matmul){.x = DENSE(F32, n_row, 2560),
                                                          .w = vks_tensor_blocks(4096, types[i], 10576, 2560),
                                                          .y = DENSE(F32, n_row, 10576)}),
                     VKSSM_OK);
    for (size_t i = 0; i < VKS_COUNT(types); i++) // on matrix units, where there are any
        CHECK_EQ(vks_op_matmul(&target, &(vks_matmul){.x = DENSE(F16, 512, 2560),
                                                      .w = vks_tensor_blocks(4096, types[i], 10576, 2560),
                                                      .y = DENSE(F16, 512, 10576)}),
                 VKSSM_OK);
}

static void compile_ssd(vkssm_dtype type, uint32_t n_time) {
    const uint32_t h = 80, p = 64, n = 128;
    vks_ssd ssd = {.x = DENSE(type, 1, n_time, h, p),
                   .b = DENSE(type, 1, n_time, 1, n),
                   .c = DENSE(type, 1, n_time, 1, n),
                   .dt = DENSE(type, 1, n_time, h),
                   .heads = DENSE(F32, 3, h),
                   .state = DENSE(F32, 1, h, p, n),
                   .y = DENSE(type, 1, n_time, h, p),
                   .dt_max = 1};
    // Columns of one [T, H P + 2 N] buffer, as in the model.
    ssd.x.stride[1] = ssd.b.stride[1] = ssd.c.stride[1] = h * p + 2 * n;
    uint64_t n_float = vks_ssd_scratch_size(target.kernels, &ssd);
    if (n_float) ssd.scratch = DENSE(F32, (uint32_t)n_float);
    CHECK_EQ(vks_op_ssd(&target, &ssd), VKSSM_OK);
}

static void compile_ssd_tree(vkssm_dtype type) {
    const uint32_t t = 32, h = 80, p = 64, n = 128;
    vks_ssd_tree op = {.x = DENSE(type, 1, t, h, p),
                       .b = DENSE(type, 1, t, 1, n),
                       .c = DENSE(type, 1, t, 1, n),
                       .dt = DENSE(type, 1, t, h),
                       .heads = DENSE(F32, 3, h),
                       .state = DENSE(F32, 1, h, p, n),
                       .parents = DENSE(VKSSM_DTYPE_I32, 1, t),
                       .y = DENSE(type, 1, t, h, p)};
    op.x.stride[1] = op.b.stride[1] = op.c.stride[1] = h * p + 2 * n;
    CHECK_EQ(vks_op_ssd_tree(&target, &op), VKSSM_OK);
}

// A large Mamba-1's layer, or with fewer channels, so that time is split; one token: with dt's projection.
static void compile_selective(vkssm_dtype type, uint32_t n_time, uint32_t d) {
    const uint32_t n = 16, rank = 160;
    vks_selective_scan scan = {.x = DENSE(type, 1, n_time, d),
                               .dt = DENSE(type, 1, n_time, n_time == 1 ? rank : d),
                               .b = DENSE(type, 1, n_time, 1, n),
                               .c = DENSE(type, 1, n_time, 1, n),
                               .gate = DENSE(type, 1, n_time, d),
                               .a = DENSE(F32, d, n),
                               .channels = DENSE(F32, 2, d),
                               .state = DENSE(F32, 1, d, n),
                               .y = DENSE(type, 1, n_time, d)};
    if (n_time == 1) scan.dt_weight = DENSE(F16, d, rank);
    uint64_t n_float = vks_selective_scan_scratch_size(target.kernels, &scan);
    if (n_float) scan.scratch = DENSE(F32, (uint32_t)n_float);
    CHECK_EQ(vks_op_selective_scan(&target, &scan), VKSSM_OK);
}

static void compile_rest(vkssm_dtype type) {
    CHECK_EQ(vks_op_embedding(&target, &(vks_embedding){.ids = DENSE(I32, 512),
                                                        .table = DENSE(F16, 50288, 2560),
                                                        .y = DENSE(F32, 512, 2560)}),
             VKSSM_OK);
    for (uint32_t n_row = 1; n_row <= 512; n_row *= 512)
        CHECK_EQ(vks_op_rms_norm(&target, &(vks_rms_norm){.x = DENSE(type, n_row, 5120),
                                                          .gate = DENSE(type, n_row, 5120),
                                                          .weight = DENSE(F32, 5120),
                                                          .y = DENSE(type, n_row, 5120)}),
                 VKSSM_OK);
    for (uint32_t n_time = 1; n_time <= 512; n_time *= 512)
        CHECK_EQ(vks_op_conv1d(&target, &(vks_conv1d){.x = DENSE(type, 1, n_time, 5376),
                                                      .w = DENSE(F32, 4, 5376),
                                                      .bias = DENSE(F32, 5376),
                                                      .state = DENSE(F32, 1, 3, 5376),
                                                      .y = DENSE(type, 1, n_time, 5376),
                                                      .silu = true}),
                 VKSSM_OK);
    CHECK_EQ(vks_op_sample(&target, &(vks_sample){.logits = DENSE(F32, 1, 50288),
                                                  .controls = DENSE(I32, 1, VKS_CONTROL_SIZE),
                                                  .ring = DENSE(I32, 1, 64),
                                                  .scratch = DENSE(F32, 1024)}),
             VKSSM_OK);
}

// A step's products, with norm and convolution on the way, for one sequence and for eight.
static void compile_step(void) {
    for (uint32_t n_row = 1; n_row <= 8; n_row += 7) {
        CHECK_EQ(vks_op_matmul(&target, &(vks_matmul){.x = DENSE(F32, n_row, 2560),
                                                      .w = DENSE(F16, 10576, 2560),
                                                      .y = DENSE(F32, n_row, 10576),
                                                      .norm = DENSE(F32, 2560),
                                                      .conv = {.w = DENSE(F32, 4, 5376),
                                                               .bias = DENSE(F32, 5376),
                                                               .state = DENSE(F32, n_row, 3, 5376),
                                                               .first = 5120}}),
                 VKSSM_OK);
        CHECK_EQ(vks_op_matmul(&target, &(vks_matmul){.x = DENSE(F32, n_row, 5120),
                                                      .w = DENSE(F16, 2560, 5120),
                                                      .y = DENSE(F32, n_row, 2560),
                                                      .accumulate = true,
                                                      .norm = DENSE(F32, 5120)}),
                 VKSSM_OK);
    }
}

// What S5 needs besides products and the scan.
static void compile_s5(vkssm_dtype type) {
    vks_layer_norm norm = {
        .x = DENSE(F32, 512, 256), .weight = DENSE(F32, 256), .bias = DENSE(F32, 256), .y = DENSE(type, 512, 256)};
    for (int affine = 0; affine < 2; affine++) {
        norm.affine = affine;
        CHECK_EQ(vks_op_layer_norm(&target, &norm), VKSSM_OK);
    }
    vks_activation activation = {.x = DENSE(type, 512, 256),
                                 .d = DENSE(F32, 256),
                                 .skip = DENSE(type, 512, 256),
                                 .gate = DENSE(type, 512, 256),
                                 .y = DENSE(F32, 512, 256),
                                 .accumulate = true};
    for (int act = VKS_ACT_NONE; act <= VKS_ACT_GELU_ERF; act++) {
        activation.act = (vks_act)act;
        CHECK_EQ(vks_op_activation(&target, &activation), VKSSM_OK);
    }
    CHECK_EQ(vks_op_pool_mean(&target, &(vks_pool_mean){.x = DENSE(F32, 2, 784, 256),
                                                        .state = DENSE(F32, 2, 3, 256),
                                                        .y = DENSE(F32, 2, 256)}),
             VKSSM_OK);
    CHECK_EQ(vks_op_log_softmax(&target, &(vks_log_softmax){.x = DENSE(F32, 2, 10), .y = DENSE(F32, 2, 10)}), VKSSM_OK);
}

// The scan in every algorithm that its selector could choose: as shapes ask for, or two passes, or one with look-back.
static void compile_scan_of(vkssm_dtype type, bool is_complex, bool a_step, bool rows, uint32_t n_time, uint32_t mode) {
    const uint32_t n_channel = 256, steps[] = {1, rows ? n_channel : n_time, rows ? n_time : n_channel, 2};
    const uint32_t channels[] = {n_channel, 2};
    vks_scan scan = {.a = a_step ? dense(type, 3 + is_complex, steps) : dense(type, 1 + is_complex, channels),
                     .b = dense(type, 3 + is_complex, steps),
                     .h = dense(type, 3 + is_complex, steps),
                     .is_complex = is_complex,
                     .time_contiguous = rows,
                     .reverse = mode & 1};
    scan.h.address += (uint64_t)1 << 30;
    if (mode & 2) scan.resets = DENSE(I32, 1, n_time);
    if (mode & 4) {
        scan.offsets = DENSE(I32, 9);
        scan.initial = is_complex ? DENSE(F32, 8, n_channel, 2) : DENSE(F32, 8, n_channel);
    }
    for (uint32_t look_back = 1; look_back <= 2; look_back++) {
        scan.tuning.look_back = look_back;
        uint64_t n_float = vks_scan_scratch_size(target.kernels, &scan);
        if (n_float) scan.scratch = DENSE(F32, (uint32_t)n_float);
        CHECK_EQ(vks_op_scan(&target, &scan), VKSSM_OK);
    }
}

// The form of the scan does not depend on how its numbers are stored: few shapes in 16 bits.
static void compile_scan(vkssm_dtype type) {
    const uint32_t times[] = {8, 131072};
    if (brief || type != F32) {
        compile_scan_of(type, false, true, false, 131072, 0);
        compile_scan_of(type, true, false, true, 131072, 0);
        return;
    }
    for (int kind = 0; kind < 8; kind++) // real and complex, a constant and per step, both layouts
        for (size_t i = 0; i < VKS_COUNT(times); i++)
            compile_scan_of(type, kind & 1, kind & 2, kind & 4, times[i], 0);
    for (uint32_t mode = 1; mode < 8; mode *= 2) { // in reverse, with resets, packed
        compile_scan_of(type, true, false, false, 16384, mode);
        compile_scan_of(type, false, true, true, 16384, mode);
    }
}

// What ConvS5 needs: a layer of a clip and of a frame, and what stands around it.
static void compile_images(vkssm_dtype type) {
    const uint32_t u = 256, p = 128, side = 16;
    for (uint32_t n = 1; n <= 300; n *= 300) {
        uint32_t n_scratch = (uint32_t)vks_conv_s5_scratch_size(n, side * side, p, type);
        vks_conv_s5 op = {.u = DENSE(type, n, side, side, u),
                          .a = DENSE(F32, p, 2),
                          .b = DENSE(type, 2 * p, 9 * u),
                          .c = DENSE(type, u, 9 * 2 * p),
                          .state = DENSE(F32, 1, side * side, p, 2),
                          .y = DENSE(F32, n, side, side, u),
                          .scratch = DENSE(F32, n_scratch),
                          .n_sequence = 1,
                          .n_time = n,
                          .kernel_b = 3,
                          .kernel_c = 3,
                          .state_dtype = type};
        op.scratch.address = (uint64_t)1 << 40; // apart from the others: a scan looks for overlaps
        CHECK_EQ(vks_op_conv_s5(&target, &op), VKSSM_OK);
        vks_group_norm norm = {.x = DENSE(F32, n, side * side, u),
                               .weight = DENSE(F32, u),
                               .bias = DENSE(F32, u),
                               .y = DENSE(type, n, side * side, u),
                               .n_group = 32,
                               .act = VKS_ACT_GELU_TANH};
        norm.scratch = DENSE(F32, (uint32_t)vks_group_norm_scratch_size(target.kernels, n, side * side, u, 32));
        CHECK_EQ(vks_op_group_norm(&target, &norm), VKSSM_OK);
    }
    CHECK_EQ(vks_op_conv2d(&target, &(vks_conv2d){.x = DENSE(type, 2, side, side, u),
                                                  .w = DENSE(type, 64, 9 * u),
                                                  .bias = DENSE(F32, 64),
                                                  .added = DENSE(F32, 2, side, side, 64),
                                                  .y = DENSE(F32, 2, side, side, 64),
                                                  .kernel_height = 3,
                                                  .kernel_width = 3,
                                                  .stride = 1,
                                                  .act = VKS_ACT_GELU_TANH,
                                                  .accumulate = true}),
             VKSSM_OK);
    CHECK_EQ(vks_op_conv_s5_system(&target, &(vks_conv_s5_system){.lambda = DENSE(F32, 64, 2),
                                                                  .log_step = DENSE(F32, 64),
                                                                  .b = DENSE(F32, 64, u, 9, 2),
                                                                  .c = DENSE(F32, 9, 64, u, 2),
                                                                  .a = DENSE(F32, 64, 2),
                                                                  .b_out = DENSE(type, 128, 9 * u),
                                                                  .c_out = DENSE(type, u, 9 * 128)}),
             VKSSM_OK);
    CHECK_EQ(vks_op_resample2d(&target, &(vks_resample2d){.x = DENSE(F32, 2, 64, 64, 64),
                                                          .y = DENSE(type, 2, 32, 32, 64),
                                                          .mode = VKS_AVERAGE,
                                                          .window_height = 2,
                                                          .window_width = 2}),
             VKSSM_OK);
}

static void compile_all(const char *variant) {
    vks_kernels_force(target.kernels, variant);
    for (int i = 0; i < 2; i++) {
        vkssm_dtype type = i ? F16 : F32;
        compile_products(type);
        compile_split(type);
        compile_s8(type);
        if (i == 0) compile_blocks();
        compile_ssd(type, 1);
        compile_ssd(type, 512);
        compile_ssd_tree(type);
        compile_selective(type, 1, 5120);
        compile_selective(type, 2048, 5120);
        compile_selective(type, 2048, 1536);
        compile_rest(type);
        compile_s5(type);
        if (!variant || strncmp(variant, "scan", 4) == 0) compile_scan(type);
        if (!variant || strncmp(variant, "conv2d", 6) == 0) compile_images(type);
    }
    compile_step();
}

// What no selector takes on this device: kernels for CPUs, which have registers to waste, tiles for which there are not
// enough of them, and the step of a mixer, with the zeros that it needs, which NVIDIA's devices alone run.
static bool is_never_chosen(const char *variant) {
    bool large = strcmp(variant, "matmul_tiled_8") == 0 || strcmp(variant, "conv2d_8") == 0;
    bool step = strncmp(variant, "mixer_step", 10) == 0 || strcmp(variant, "clear") == 0;
    return strstr(variant, "_lanes") || step || (large && vks_device_caps(device)->vendor_id == 0x8086);
}

// What the shapes of this test need not reach: a kernel of the benchmark, those that go with matrix units, and one that
// subgroups of 64 are too wide for.
static bool is_reached_elsewhere(const char *variant) {
    bool has_matrices = vks_device_caps(device)->features & VKS_FEATURE_COOPERATIVE_MATRIX;
    bool with_matrices = strcmp(variant, "ssd_carry") == 0 || strcmp(variant, "ssd_decay_sg") == 0;
    bool narrow = strncmp(variant, "conv2d_patch", 12) == 0 && vks_device_caps(device)->subgroup_size > 32;
    return strcmp(variant, "copy") == 0 || (with_matrices && !has_matrices) || narrow;
}

CHECK_CASE(every_variant_compiles) {
    compile_all(NULL);
    const char *name, *reason;
    bool available;
    for (uint32_t i = 0; vks_kernels_variant(target.kernels, i, &name, &available, &reason); i++)
        if (available && !is_never_chosen(name)) compile_all(name);
    vks_kernels_force(target.kernels, NULL);
}

static bool was_compiled(const char *variant) {
    const char *name;
    const struct vks_pipeline *pipeline;
    for (uint32_t i = 0; vks_kernels_compiled(target.kernels, i, &name, &pipeline); i++)
        if (strcmp(name, variant) == 0) return true;
    return false;
}

// A variant that none of the shapes above reaches would have no budget, and nobody would see it.
CHECK_CASE(none_is_left_out) {
    const char *name, *reason;
    bool available;
    for (uint32_t i = 0; vks_kernels_variant(target.kernels, i, &name, &available, &reason); i++) {
        check_n_checked++;
        if (available && !is_never_chosen(name) && !is_reached_elsewhere(name) && !was_compiled(name))
            CHECK_FAIL("%s: expected to be compiled by some shape of this test, found in none", name);
    }
}

CHECK_CASE(budgets_hold) {
    const vks_caps *caps = vks_device_caps(device);
    budget_file budgets;
    CHECK(budget_read(getenv("VKSSM_TEST_BUDGETS"), family, &budgets));
    const char *name;
    const struct vks_pipeline *pipeline;
    char text[2048];
    uint32_t n_pipeline = 0, n_variant = 0;
    for (uint32_t i = 0; vks_kernels_compiled(target.kernels, i, &name, &pipeline); i++, n_pipeline++) {
        CHECK_EQ(vks_pipeline_statistics(device, pipeline, text, sizeof text), VKSSM_OK);
        budget found = budget_of(text);
        snprintf(found.variant, sizeof found.variant, "%s", name);
        found.subgroup_size = caps->subgroup_size;
        CHECK(found.registers != 0);
        CHECK(found.shared <= (long)caps->max_shared_size);
        n_variant += budget_count(&budgets, &found);
        if (getenv("VKSSM_TEST_VERBOSE")) printf("  %-20s %s\n", name, text);
    }
    check_n_failed += budget_check(&budgets, caps->driver);
    printf("compiled for %s: %u variants, %u pipelines, subgroups of %u\n", family, n_variant, n_pipeline,
           caps->subgroup_size);
    budget_free(&budgets);
}

// Whether the driver makes a device of this family, found out by another process: RADV ends the one that asks for a
// family that it does not know.
static bool driver_knows(const char *name, const char *variable) {
    setenv(variable, name, 1);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        vks_device *probe = NULL;
        bool found = vks_device_create(NULL, &probe) == VKSSM_OK;
        vks_device_destroy(&probe);
        _exit(found ? 0 : 1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv) {
    const char *names = getenv("VKSSM_TEST_FAMILY"), *variable = getenv("VKSSM_TEST_VARIABLE");
    const char *size = getenv("VKSSM_TEST_SUBGROUP");
    if (!names || !variable) {
        printf("skip: VKSSM_TEST_FAMILY names no family to compile for\n");
        return 77;
    }
    bool known = false;
    for (const char *at = names; *at && !known; at += *at == ',') {
        size_t length = strcspn(at, ",");
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (at == names) snprintf(family, sizeof family, "%s", name);
        known = driver_knows(name, variable);
        at += length;
    }
    if (!known) {
        printf("skip: no device of family %s; package mesa-vulkan-drivers %s or later makes it\n", family,
               getenv("VKSSM_TEST_SINCE"));
        return 77;
    }
    brief = getenv("VKSSM_TEST_BRIEF") != NULL;
    const vks_device_params params = {.subgroup_size = size ? (uint32_t)strtoul(size, NULL, 10) : 0};
    if (vks_device_create(&params, &device) != VKSSM_OK || vks_kernels_create(device, &target.kernels) != VKSSM_OK) {
        printf("%s\n", vkssm_last_error());
        return 1;
    }
    const vks_caps *caps = vks_device_caps(device);
    printf("%s, %s, subgroups of %u\n", caps->name, caps->driver, caps->subgroup_size);
    int status = check_main(
        argc, argv,
        (check_case[]){CHECK_RUN(every_variant_compiles), CHECK_RUN(none_is_left_out), CHECK_RUN(budgets_hold), {0}});
    vks_kernels_destroy(&target.kernels);
    vks_device_destroy(&device);
    return status;
}
