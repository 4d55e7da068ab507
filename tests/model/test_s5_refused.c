// What is wrong with a model's files or a caller's tensors: a status, and one line that names file, key or tensor,
// expectation and finding.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "harness/files.h"
#include "harness/tiny_s5.h"
#include "host/core/core_device.h"

typedef struct refusal {
    const char *more_keys, *leave_out, *misshape;
    vkssm_status status;
    const char *file;    // named in the message
    const char *message; // part of it
} refusal;

#define LAYER "params/encoder/layers_1/"

static const refusal refusals[] = {
    {"\"activation\": \"relu\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json",
     "key \"activation\": one of gelu, half_glu1, half_glu2, full_glu expected, \"relu\" found"},
    {"\"activation\": 3, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"activation\""},
    {"\"discretization\": \"euler\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json",
     "key \"discretization\": one of zoh, bilinear expected, \"euler\" found"},
    {"\"pooling\": \"max\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json",
     "key \"pooling\": one of mean, last, none expected, \"max\" found"},
    {"\"head\": \"retrieval\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json", "key \"head\""},
    {"\"input_scale\": \"pixel/0\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json",
     "key \"input_scale\": \"pixel\" or \"pixel/N\" with N above 0 expected, \"pixel/0\" found"},
    {"\"input_scale\": \"pixel/255x\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json", "\"pixel/255x\" found"},
    {"\"d_model\": null, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"d_model\" is missing"},
    {"\"ssm_size_base\": null, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"ssm_size_base\" is missing"},
    {"\"ssm_size_base\": 15, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json",
     "key \"ssm_size_base\": a multiple of 2 (1 blocks of conjugate pairs) expected, 15 found"},
    {"\"ssm_size_base\": 14, \"blocks\": 3, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "a multiple of 6"},
    {"\"n_layers\": 0, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"n_layers\""},
    {"\"n_classes\": -1, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"n_classes\""},
    {"\"d_input\": 1e9, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"d_input\""},
    {"\"step_rescale\": 0, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"step_rescale\""},
    {"\"bidirectional\": 1, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"bidirectional\""},
    {"\"bn_eps\": -1, ", NULL, NULL, VKSSM_ERR_FORMAT, "config.json", "key \"bn_eps\""},
    {"\"model_type\": \"s7\", ", NULL, NULL, VKSSM_ERR_UNSUPPORTED, "config.json", "s5, lru"},
    {NULL, LAYER "seq/Lambda_im", NULL, VKSSM_ERR_FORMAT, "safetensors|model",
     "tensor " LAYER "seq/Lambda_im of shape [7] expected, none found"},
    {NULL, LAYER "seq/B", NULL, VKSSM_ERR_FORMAT, "", "tensor " LAYER "seq/B of shape [7, 10, 2] expected, none found"},
    {NULL, LAYER "seq/C", NULL, VKSSM_ERR_FORMAT, "", "tensor " LAYER "seq/C of shape [10, 7, 2] expected, none found"},
    {NULL, LAYER "seq/D", NULL, VKSSM_ERR_FORMAT, "", "tensor " LAYER "seq/D of shape [10] expected, none found"},
    {NULL, LAYER "norm/scale", NULL, VKSSM_ERR_FORMAT, "",
     "tensor " LAYER "norm/scale of shape [10] expected, none found"},
    {NULL, "batch_stats/encoder/layers_1/norm/var", NULL, VKSSM_ERR_FORMAT, "",
     "layers_1/norm/var of shape [10] expected"},
    {NULL, LAYER "out2/kernel", NULL, VKSSM_ERR_FORMAT, "", "tensor " LAYER "out2/kernel of shape [10, 10] expected"},
    {NULL, LAYER "out2/bias", NULL, VKSSM_ERR_FORMAT, "", "tensor " LAYER "out2/bias of shape [10] expected"},
    {NULL, "params/encoder/encoder/kernel", NULL, VKSSM_ERR_FORMAT, "",
     "encoder/kernel of shape [3, 10] expected, none found"},
    {NULL, "params/decoder/bias", NULL, VKSSM_ERR_FORMAT, "", "tensor params/decoder/bias of shape [5] expected"},
    {NULL, NULL, LAYER "seq/log_step", VKSSM_ERR_FORMAT, "", "seq/log_step: shape [7, 1] expected, [7, 1, 1] found"},
    {NULL, NULL, LAYER "seq/C", VKSSM_ERR_FORMAT, "", "seq/C: shape [10, 7, 2] expected, [10, 7, 2, 1] found"},
    {NULL, NULL, LAYER "norm/bias", VKSSM_ERR_FORMAT, "", "norm/bias: shape [10] expected, [10, 1] found"},
    {NULL, NULL, "params/decoder/kernel", VKSSM_ERR_FORMAT, "",
     "decoder/kernel: shape [10, 5] expected, [10, 5, 1] found"},
    {"\"n_layers\": 3, ", NULL, NULL, VKSSM_ERR_FORMAT, "", "layers_2/seq/Lambda_re of shape [7] expected, none found"},
    {"\"bidirectional\": true, ", NULL, NULL, VKSSM_ERR_FORMAT, "",
     "seq/C: shape [10, 14, 2] expected, [10, 7, 2] found"},
    {"\"activation\": \"full_glu\", ", NULL, NULL, VKSSM_ERR_FORMAT, "",
     "out1/kernel of shape [10, 10] expected, none found"},
};

static void check_refusal(const tiny_s5 *tiny, vkssm_status status, const char *message) {
    vkssm_model *model;
    CHECK(tiny_s5_write(tiny, files_folder));
    uint64_t n_live = vks_alloc_n_live();
    CHECK_REFUSED(vkssm_model_load(model_device, files_folder, NULL, &model), status, message);
    CHECK_CONTAINS(vkssm_last_error(), files_folder);
    CHECK(model == NULL);
    CHECK_EQ(vks_alloc_n_live(), n_live);
}

CHECK_CASE(files) {
    for (size_t i = 0; i < VKS_COUNT(refusals); i++) {
        const refusal *r = &refusals[i];
        tiny_s5 tiny = tiny_s5_default();
        tiny.more_keys = r->more_keys;
        tiny.leave_out = r->leave_out;
        tiny.misshape = r->misshape;
        check_refusal(&tiny, r->status, r->message);
        if (strcmp(r->file, "config.json") == 0) CHECK_CONTAINS(vkssm_last_error(), "config.json");
    }
}

CHECK_CASE(files_of_lru) {
    tiny_s5 tiny = tiny_s5_default();
    tiny.shape.lru = true;
    tiny.shape.gate = REF_S5_FULL_GLU;
    tiny.leave_out = LAYER "seq/gamma_log";
    check_refusal(&tiny, VKSSM_ERR_FORMAT, "tensor " LAYER "seq/gamma_log of shape [7] expected, none found");
    tiny.leave_out = NULL;
    tiny.more_keys = "\"norm\": null, ";
    check_refusal(&tiny, VKSSM_ERR_FORMAT, "key \"norm\" is missing");
    tiny.more_keys = "\"norm\": \"rms\", ";
    check_refusal(&tiny, VKSSM_ERR_UNSUPPORTED, "key \"norm\": one of layer, batch expected, \"rms\" found");
    tiny.more_keys = "\"d_hidden\": 8, ";
    check_refusal(&tiny, VKSSM_ERR_FORMAT, "seq/nu_log: shape [8] expected, [7] found");
    tiny.more_keys = "\"prenorm\": null, ";
    check_refusal(&tiny, VKSSM_ERR_FORMAT, "key \"prenorm\" is missing");
}

// A type that no parameter may have.
CHECK_CASE(integer_parameters) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_tensor_file *file;
    CHECK_OK(vkssm_tensor_file_open(files_path("model.safetensors"), NULL, &file));
    static const char *const names[] = {LAYER "seq/B", LAYER "out2/kernel", LAYER "seq/D"};
    uint32_t n = vkssm_tensor_file_n_tensor(file);
    vkssm_named_tensor *tensors = model_alloc(n, sizeof *tensors);
    for (size_t k = 0; k < VKS_COUNT(names); k++) {
        for (uint32_t i = 0; i < n; i++) {
            vkssm_tensor_file_get(file, i, &tensors[i]);
            if (strcmp(tensors[i].name, names[k]) == 0) tensors[i].dtype = VKSSM_DTYPE_I32;
        }
        CHECK_OK(vkssm_tensor_file_write(files_path("other.safetensors"), NULL, tensors, n));
        vkssm_model *model;
        CHECK_REFUSED(vkssm_model_load(model_device, files_path("other.safetensors"), NULL, &model),
                      VKSSM_ERR_UNSUPPORTED, "F32, F16 or BF16 expected, I32 found");
        CHECK_CONTAINS(vkssm_last_error(), names[k]);
    }
    free(tensors);
    vkssm_tensor_file_destroy(&file);
}

// ---- the caller's tensors -------------------------------------------------------------------------------------------

static vkssm_tensors *refused;
#define CHECK_RUN_REFUSED(model, tensor, n, message)                                                                   \
    do {                                                                                                               \
        CHECK_REFUSED(vkssm_model_run(model, NULL, tensor, n, &refused), VKSSM_ERR_ARG, message);                      \
        CHECK(!refused);                                                                                               \
    } while (0)

CHECK_CASE(inputs) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    static const float values[30] = {0};
    const vkssm_named_tensor good = {.name = "input",
                                     .dtype = VKSSM_DTYPE_F32,
                                     .n_dim = 3,
                                     .shape = {2, 5, 3},
                                     .data = values,
                                     .size = sizeof values};
    CHECK_OK(vkssm_model_run(model, NULL, &good, 1, &refused));
    vkssm_tensors_destroy(&refused);
    vkssm_named_tensor bad = good;
    CHECK_RUN_REFUSED(model, NULL, 0, "run: a tensor input expected, none found among 0");
    bad.name = "inputs";
    CHECK_RUN_REFUSED(model, &bad, 1, "run: a tensor input expected, none found among 1");
    bad = good;
    bad.n_dim = 2;
    bad.size = 40;
    CHECK_RUN_REFUSED(model, &bad, 1, "run: tensor input: shape [n, T, 3], none of them 0, expected, [2, 5] found");
    bad = good;
    bad.shape[1] = 3;
    bad.shape[2] = 5;
    CHECK_RUN_REFUSED(model, &bad, 1, "expected, [2, 3, 5] found");
    bad = good;
    bad.shape[1] = 0;
    bad.size = 0;
    CHECK_RUN_REFUSED(model, &bad, 1, "expected, [2, 0, 3] found");
    bad = good;
    bad.n_dim = 4;
    bad.shape[3] = 1;
    CHECK_RUN_REFUSED(model, &bad, 1, "expected, [2, 5, 3, 1] found");
    bad = good;
    bad.n_dim = 1000;
    CHECK_RUN_REFUSED(model, &bad, 1, "run: tensor input: shape [n, T, 3]");
    bad = good;
    bad.size--;
    CHECK_RUN_REFUSED(model, &bad, 1, "run: tensor input: as many bytes as its shape says expected, 119 found");
    bad = good;
    bad.shape[0] = UINT64_MAX / 2;
    CHECK_RUN_REFUSED(model, &bad, 1, "as many bytes as its shape says expected");
    bad = good;
    bad.data = NULL;
    CHECK_RUN_REFUSED(model, &bad, 1, "as many bytes as its shape says expected, 0 found");
    bad = good;
    bad.dtype = VKSSM_DTYPE_I32;
    CHECK_RUN_REFUSED(model, &bad, 1, "run: tensor input: F32 expected, I32 found");
    bad.dtype = VKSSM_DTYPE_U8; // this config says nothing of bytes
    bad.size = 30;
    CHECK_RUN_REFUSED(model, &bad, 1, "run: tensor input: F32 expected, U8 found");
    CHECK_REFUSED(vkssm_model_run(NULL, NULL, &good, 1, &refused), VKSSM_ERR_ARG, "a model and a place");
    vkssm_model_destroy(&model);
    CHECK(!model);
}

CHECK_CASE(streams) {
    tiny_s5 tiny = tiny_s5_default();
    tiny.more_keys = "\"input_scale\": \"pixel/255\", ";
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    vkssm_stream *stream;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    CHECK_REFUSED(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = 70000}, &stream), VKSSM_ERR_ARG,
                  "stream: at most 65535 slots expected, 70000 found");
    CHECK_REFUSED(vkssm_stream_create(NULL, NULL, &stream), VKSSM_ERR_ARG, "a model and a place");
    CHECK_OK(vkssm_stream_create(model, &(vkssm_stream_params){.n_slot = 2}, &stream));
    if (!stream) return;
    static const float values[9] = {0};
    vkssm_named_tensor in = {
        .name = "input", .dtype = VKSSM_DTYPE_F32, .n_dim = 2, .shape = {2, 3}, .data = values, .size = 24};
    CHECK_OK(vkssm_stream_step(stream, &in, 1, NULL, NULL));
    CHECK_REFUSED(vkssm_stream_step(stream, NULL, 0, NULL, NULL), VKSSM_ERR_ARG, "stream: a tensor input expected");
    in.shape[0] = 3;
    in.size = 36;
    CHECK_REFUSED(vkssm_stream_step(stream, &in, 1, NULL, NULL), VKSSM_ERR_ARG,
                  "stream: tensor input: one sample for each of 2 slots expected, 3 found");
    in.shape[0] = 2;
    in.shape[1] = 4;
    CHECK_REFUSED(vkssm_stream_step(stream, &in, 1, NULL, NULL), VKSSM_ERR_ARG,
                  "stream: tensor input: shape [n, 3], none of them 0, expected, [2, 4] found");
    in.dtype = VKSSM_DTYPE_F16;
    in.shape[1] = 3;
    CHECK_REFUSED(vkssm_stream_step(stream, &in, 1, NULL, NULL), VKSSM_ERR_ARG, "F32 or U8 expected, F16 found");
    CHECK_REFUSED(vkssm_stream_reset(stream, 2), VKSSM_ERR_ARG, "stream: a slot below 2 expected, 2 found");
    vkssm_stream_destroy(&stream);
    vkssm_stream_destroy(&stream);
    vkssm_stream_destroy(NULL);
    vkssm_model_destroy(&model);
    CHECK(!model);
}

// Infinities and NaN in the data flow through; nothing else may happen.
CHECK_CASE(not_finite) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    vkssm_model *model;
    vkssm_tensors *out;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    float values[2 * 5 * 3] = {0};
    values[4] = NAN;
    vkssm_named_tensor found, in = {.name = "input",
                                    .dtype = VKSSM_DTYPE_F32,
                                    .n_dim = 3,
                                    .shape = {2, 5, 3},
                                    .data = values,
                                    .size = sizeof values};
    CHECK_OK(vkssm_model_run(model, NULL, &in, 1, &out));
    bool there = out && vkssm_tensors_find(out, "logits", &found);
    CHECK(there);
    if (there) {
        const float *logits = found.data;
        CHECK(isnan(logits[0]) && isfinite(logits[5])); // the other sequence is its own
    }
    vkssm_tensors_destroy(&out);
    vkssm_model_destroy(&model);
}

// A language model has no tensors to run on.
CHECK_CASE(language_model) {
    vkssm_model *model;
    vkssm_stream *stream;
    vkssm_tensor_info info;
    CHECK_OK(vkssm_model_load(model_device, model_zoo("stories-mamba2"), NULL, &model));
    CHECK_REFUSED(vkssm_model_run(model, NULL, NULL, 0, &refused), VKSSM_ERR_UNSUPPORTED,
                  "run: a model that maps tensors to tensors expected, mamba2 found");
    CHECK_REFUSED(vkssm_stream_create(model, NULL, &stream), VKSSM_ERR_UNSUPPORTED,
                  "stream: a model that maps tensors");
    CHECK_REFUSED(vkssm_model_get_input(model, 0, &info), VKSSM_ERR_UNSUPPORTED, "input: a model that maps tensors");
    vkssm_model_destroy(&model);
}

// Every host allocation of loading, running and streaming fails once: a status, and nothing is left.
CHECK_CASE(out_of_host_memory) {
    tiny_s5 tiny = tiny_s5_default();
    tiny.shape.gate = REF_S5_FULL_GLU;
    CHECK(tiny_s5_write(&tiny, files_folder));
    static const float values[15] = {0};
    vkssm_named_tensor in = {.name = "input",
                             .dtype = VKSSM_DTYPE_F32,
                             .n_dim = 3,
                             .shape = {1, 5, 3},
                             .data = values,
                             .size = sizeof values};
    uint64_t n_live = vks_alloc_n_live(), n = 0;
    for (vkssm_status status = VKSSM_ERR_OOM_HOST; status != VKSSM_OK && n < 5000; n++) {
        vkssm_model *model = NULL;
        vkssm_tensors *out = NULL;
        vkssm_stream *stream = NULL;
        vks_alloc_fail_after(n);
        status = vkssm_model_load(model_device, files_folder, NULL, &model);
        if (status == VKSSM_OK) status = vkssm_model_run(model, NULL, &in, 1, &out);
        if (status == VKSSM_OK) status = vkssm_stream_create(model, NULL, &stream);
        vks_alloc_fail_after(UINT64_MAX);
        CHECK(status == VKSSM_OK || status == VKSSM_ERR_OOM_HOST);
        vkssm_stream_destroy(&stream);
        vkssm_tensors_destroy(&out);
        vkssm_model_destroy(&model);
        // Kernels that were compiled on the way are the device's; nothing else may stay.
        if (status == VKSSM_OK) n_live = vks_alloc_n_live();
    }
    CHECK(n > 20 && n < 5000);
    vkssm_model *model;
    CHECK_OK(vkssm_model_load(model_device, files_folder, NULL, &model));
    vkssm_model_destroy(&model);
    CHECK_EQ(vks_alloc_n_live(), n_live);
}

// Likewise every allocation of device memory.
CHECK_CASE(out_of_device_memory) {
    tiny_s5 tiny = tiny_s5_default();
    CHECK(tiny_s5_write(&tiny, files_folder));
    static const float values[15] = {0};
    vkssm_named_tensor in = {.name = "input",
                             .dtype = VKSSM_DTYPE_F32,
                             .n_dim = 3,
                             .shape = {1, 5, 3},
                             .data = values,
                             .size = sizeof values};
    uint64_t n = 0;
    for (vkssm_status status = VKSSM_ERR_OOM_DEVICE; status != VKSSM_OK && n < 100; n++) {
        vkssm_model *model = NULL;
        vkssm_tensors *out = NULL;
        vkssm_stream *stream = NULL;
        vks_device_fail_memory_after(model_device->vk, n);
        status = vkssm_model_load(model_device, files_folder, NULL, &model);
        if (status == VKSSM_OK) status = vkssm_model_run(model, NULL, &in, 1, &out);
        if (status == VKSSM_OK) status = vkssm_stream_create(model, NULL, &stream);
        vks_device_fail_memory_after(model_device->vk, UINT64_MAX);
        CHECK(status == VKSSM_OK || status == VKSSM_ERR_OOM_DEVICE);
        CHECK((status == VKSSM_OK) == (stream != NULL));
        vkssm_stream_destroy(&stream);
        vkssm_tensors_destroy(&out);
        vkssm_model_destroy(&model);
        CHECK(!model);
    }
    CHECK(n > 5 && n < 100);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(files),
                                           CHECK_RUN(files_of_lru),
                                           CHECK_RUN(integer_parameters),
                                           CHECK_RUN(inputs),
                                           CHECK_RUN(streams),
                                           CHECK_RUN(not_finite),
                                           CHECK_RUN(language_model),
                                           CHECK_RUN(out_of_host_memory),
                                           CHECK_RUN(out_of_device_memory),
                                           {0}});
    files_end();
    return status;
}
