// The story model as GGUF files: float16 says what the checkpoint says, Q8_0 what its own dequantized values say, and
// the loss on held-out text stays within what each type is worth.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"

#include "harness/files.h"

#include <vkssm/quantize.h>

#include "host/base/quant.h"
#include "models/io/gguf_model.h"

#define FOLDER "stories-mamba2"
enum { N_TEXT = 24, N_VOCAB = 4096, WINDOW = 128 };

// SwiftShader has a tenth of lavapipe's speed, and so does anything with sanitizers: less is computed there.
static bool is_slow_device(void) {
    vkssm_device_info device;
    vkssm_device_get_info(model_device, &device);
    return CHECK_SANITIZED || strstr(device.name, "SwiftShader") != NULL;
}

static const char *write_model(const char *name, vkssm_dtype type) {
    const char *path = files_path(name);
    CHECK_OK(vkssm_quantize(model_zoo(FOLDER), path, &(vkssm_quantize_params){.type = type}, NULL));
    return path;
}

// A prompt and its greedy continuation, and the logits of all of it read at once.
typedef struct said {
    int32_t *tokens;
    float *logits;
    size_t n;
} said;

static said speak(const char *path, const vkssm_model_params *params) {
    said s = {0};
    model_run run;
    size_t n_prompt;
    int32_t *prompt = model_tensor(model_zoo(FOLDER "/golden.safetensors"), "prompt2.ids", VKSSM_DTYPE_I32, &n_prompt);
    if (!prompt || !model_open(&run, path, params, NULL)) return s;
    uint32_t n_text = is_slow_device() ? N_TEXT / 4 : N_TEXT;
    s.n = n_prompt + n_text;
    s.tokens = model_alloc(s.n, sizeof *s.tokens);
    memcpy(s.tokens, prompt, n_prompt * sizeof *prompt);
    uint32_t n_found = 0;
    CHECK_OK(vkssm_session_prefill(run.session, 0, prompt, n_prompt, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = n_text}, s.tokens + n_prompt,
                                    &n_found));
    CHECK_EQ(n_found, n_text);
    CHECK_OK(vkssm_session_reset(run.session, 0));
    s.logits = model_prefill(&run, 0, s.tokens, s.n);
    model_close(&run);
    free(prompt);
    return s;
}

static void compare(said *a, said *b, double most) {
    CHECK(a->tokens && b->tokens && a->n == b->n);
    if (a->tokens && b->tokens) {
        CHECK(memcmp(a->tokens, b->tokens, a->n * sizeof *a->tokens) == 0);
        double gap = model_gap(a->logits, b->logits, a->n * N_VOCAB);
        printf("  logits: %.2g of the largest\n", gap);
        CHECK_AT_MOST(gap, most);
    }
    free(a->tokens);
    free(a->logits);
    free(b->tokens);
    free(b->logits);
}

// The same matrices in the same type: what differs is A, which one file has as its logarithm; float32 both.
CHECK_CASE(f16_as_the_checkpoint) {
    said a = speak(model_zoo(FOLDER), &(vkssm_model_params){.no_tokenizer = true});
    said b = speak(write_model("f16.gguf", VKSSM_DTYPE_F16), NULL);
    compare(&a, &b, 1e-5);
}

// ---- its own dequantized values -------------------------------------------------------------------------------------

// The tensors of a GGUF file as float32 in safetensors, beside a config.json.
static bool write_dequantized(const char *gguf_path) {
    vks_gguf *gguf;
    vks_tensor_list list = {0};
    CHECK_OK(vks_gguf_open(gguf_path, NULL, &gguf));
    CHECK_OK(vks_gguf_model_tensors(gguf, &list));
    for (size_t i = 0; i < list.n; i++) {
        vkssm_named_tensor *t = &list.items[i];
        uint64_t n = 1;
        for (uint32_t k = 0; k < t->n_dim; k++)
            n *= t->shape[k];
        float *values = model_alloc((size_t)n, sizeof *values);
        size_t name_size = strlen(t->name);
        bool is_a = strcmp(t->name + name_size - 2, ".A") == 0;
        if (vks_is_block_type(t->dtype))
            vks_quant_decode(t->dtype, t->data, n, values);
        else
            for (uint64_t k = 0; k < n; k++)
                values[k] = (float)(is_a ? log(-model_element(t, k)) : model_element(t, k));
        if (is_a) {
            char *name = vks_alloc(name_size + 5);
            sprintf(name, "%s_log", t->name);
            vks_free((void *)(uintptr_t)t->name);
            t->name = name;
        }
        *t = (vkssm_named_tensor){.name = t->name,
                                  .dtype = VKSSM_DTYPE_F32,
                                  .n_dim = t->n_dim,
                                  .data = values,
                                  .size = 4 * n,
                                  .shape = {t->shape[0], t->shape[1], t->shape[2]}};
    }
    vkssm_status status = vkssm_tensor_file_write(files_path("model.safetensors"), NULL, list.items, (uint32_t)list.n);
    CHECK_OK(status);
    for (size_t i = 0; i < list.n; i++)
        free((void *)(uintptr_t)list.items[i].data);
    vks_tensor_list_finish(&list);
    vks_gguf_destroy(&gguf);
    char text[4096];
    FILE *config = fopen(model_zoo(FOLDER "/config.json"), "rb");
    size_t n = config ? fread(text, 1, sizeof text, config) : 0;
    if (config) fclose(config);
    return status == VKSSM_OK && n > 0 && files_write("config.json", text, n);
}

// Products of Q8_0 multiply float32 by code times scale, which is exact in float32, as those of the float32 matrices
// do; only the order of sums may differ.
CHECK_CASE(q8_0_as_its_own_values) {
    if (is_slow_device()) CHECK_SKIP("slow: the operators are compared with their twins");
    const char *path = write_model("q8_0.gguf", VKSSM_DTYPE_Q8_0);
    said a = speak(path, NULL);
    CHECK(write_dequantized(path));
    said b = speak(files_folder, NULL);
    compare(&a, &b, 1e-4);
}

// ---- loss -----------------------------------------------------------------------------------------------------------

static double loss(const char *path, const vkssm_model_params *params, int n_window) {
    model_run run;
    size_t n_token;
    int32_t *tokens = model_tensor(model_zoo(FOLDER "/golden.safetensors"), "val.tokens", VKSSM_DTYPE_I32, &n_token);
    double sum = 0;
    if (!tokens || !model_open(&run, path, params, NULL)) return NAN;
    for (int w = 0; w < n_window; w++) {
        const int32_t *window = tokens + w * WINDOW;
        CHECK_OK(vkssm_session_reset(run.session, 0));
        float *logits = model_prefill(&run, 0, window, WINDOW);
        for (int i = 0; i < WINDOW; i++) {
            const float *row = logits + (size_t)i * N_VOCAB;
            double largest = row[model_argmax(row, N_VOCAB)], total = 0;
            for (int v = 0; v < N_VOCAB; v++)
                total += exp(row[v] - largest);
            sum += (largest + log(total) - row[window[i + 1]]) / WINDOW / n_window;
        }
        free(logits);
    }
    model_close(&run);
    free(tokens);
    return sum;
}

// The README has the losses over all windows: perplexity +0.03 % for Q8_0, +0.9 % for Q4_K, +1.1 % for Q4_0, +0.1 % for
// Q6_K. Over one window they scatter by about as much again; a wrong scale or a wrong bit costs nats.
CHECK_CASE(losses) {
    static const struct {
        vkssm_dtype type;
        double most;
    } cases[] = {{VKSSM_DTYPE_Q8_0, 0.002}, {VKSSM_DTYPE_Q4_K, 0.03}};
    if (is_slow_device()) CHECK_SKIP("slow: the operators are compared with their twins");
    double exact = loss(model_zoo(FOLDER), &(vkssm_model_params){.no_tokenizer = true}, 1);
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "loss%d.gguf", i);
        double found = loss(write_model(name, cases[i].type), NULL, 1);
        printf("  %s: %.5f nats per token, %.5f in float16\n", vkssm_dtype_name(cases[i].type), found, exact);
        CHECK_NEAR(found, exact, cases[i].most);
    }
}

// Quantized while loading: the same blocks as those of the file.
CHECK_CASE(quantized_while_loading) {
    if (is_slow_device()) CHECK_SKIP("slow: nothing of it depends on the device");
    const int32_t tokens[] = {0, 17, 400, 4095, 3};
    const char *path = write_model("loaded.gguf", VKSSM_DTYPE_Q8_0);
    const vkssm_model_params to_blocks = {.no_tokenizer = true,
                                          .convert_weights = true,
                                          .weight_dtype = VKSSM_DTYPE_Q8_0},
                             to_floats = {.convert_weights = true};
    float *logits[3];
    for (int i = 0; i < 3; i++) {
        model_run run;
        if (!model_open(&run, i == 0 ? model_zoo(FOLDER) : path,
                        i == 0   ? &to_blocks
                        : i == 1 ? NULL
                                 : &to_floats,
                        NULL))
            return;
        logits[i] = model_prefill(&run, 0, tokens, 5);
        CHECK((vkssm_model_get_tokenizer(run.model) != NULL) == (i > 0));
        model_close(&run);
    }
    CHECK_AT_MOST(model_gap(logits[0], logits[1], 5 * N_VOCAB), 1e-5);
    CHECK_AT_MOST(model_gap(logits[2], logits[1], 5 * N_VOCAB),
                  1e-4); // and back: the file's blocks as float32 matrices
    for (int i = 0; i < 3; i++)
        free(logits[i]);
}

CHECK_CASE(refuses) {
    vkssm_model *model = NULL;
    CHECK(files_write("cut.gguf", "GGUF\3\0\0\0", 8));
    CHECK_REFUSED(vkssm_model_load(model_device, files_path("cut.gguf"), NULL, &model), VKSSM_ERR_FORMAT,
                  "cut.gguf: 8 bytes of the number of tensors expected");
    CHECK_REFUSED(vkssm_model_load(model_device, model_zoo(FOLDER),
                                   &(vkssm_model_params){.convert_weights = true, .weight_dtype = VKSSM_DTYPE_I8},
                                   &model),
                  VKSSM_ERR_ARG, "a block type for weights");
    // A tensor that the keys ask for and the file lacks: a layer more.
    size_t size;
    CHECK(write_model("missing.gguf", VKSSM_DTYPE_F16) != NULL);
    uint8_t *file = files_read("missing.gguf", &size);
    const char *key = "mamba2.block_count";
    size_t at = 0;
    while (file && at + 64 < size && memcmp(file + at, key, strlen(key)) != 0)
        at++;
    CHECK(file && at + 64 < size);
    if (!file) return;
    file[at + strlen(key) + 4] = 11;
    CHECK(files_write("missing.gguf", file, size));
    CHECK_REFUSED(vkssm_model_load(model_device, files_path("missing.gguf"), NULL, &model), VKSSM_ERR_FORMAT,
                  "tensor backbone.layers.10.norm.weight of shape [256] expected, none found");
    free(file);
    CHECK(model == NULL);
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int status = model_main(argc, argv,
                            (check_case[]){CHECK_RUN(f16_as_the_checkpoint),
                                           CHECK_RUN(q8_0_as_its_own_values),
                                           CHECK_RUN(losses),
                                           CHECK_RUN(quantized_while_loading),
                                           CHECK_RUN(refuses),
                                           {0}});
    files_end();
    return status;
}
