// The small trained Mamba-1 model of models/zoo against Hugging Face's code in float64: logits and greedy tokens.
#include "harness/model_test.h"

#define FOLDER "stories-mamba"
#define GOLDEN FOLDER "/golden.safetensors"

enum { N_VOCAB = 4096, N_RECORDED = 64, N_GREEDY = 32 };

// Of the largest logit: float32 sums of up to 512 products in ten layers, as for the Mamba-2 model. The closest two
// logits that decide a greedy token are 0.06 apart, a hundred times as much.
#define FLOAT32_GAP 2e-4

static void *golden(int prompt, const char *what, vkssm_dtype dtype, size_t *n) {
    char name[32];
    snprintf(name, sizeof name, "prompt%d.%s", prompt, what);
    void *data = model_tensor(model_zoo(GOLDEN), name, dtype, n);
    CHECK(data != NULL);
    return data;
}

static bool open_story(model_run *run) {
    return model_open(run, model_zoo(FOLDER), &(vkssm_model_params){.no_tokenizer = true}, NULL);
}

CHECK_CASE(logits) {
    model_run run;
    if (!open_story(&run)) return;
    for (int i = 0; i < 4; i++) {
        size_t n, n_logit;
        int32_t *tokens = golden(i, "ids", VKSSM_DTYPE_I32, &n);
        float *wanted = golden(i, "logits", VKSSM_DTYPE_F32, &n_logit);
        CHECK_EQ(n_logit, n * N_VOCAB);
        CHECK_OK(vkssm_session_reset(run.session, 0));
        float *found = model_prefill(&run, 0, tokens, n);
        double gap = model_gap(found, wanted, n_logit);
        printf("  prompt %d: %.2g of the largest logit\n", i, gap);
        CHECK_AT_MOST(gap, FLOAT32_GAP);
        free(found);
        free(wanted);
        free(tokens);
    }
    model_close(&run);
}

// Step by step on what the prompt left.
CHECK_CASE(greedy) {
    model_run run;
    if (!open_story(&run)) return;
    size_t n, n_all;
    int32_t *prompt = golden(3, "ids", VKSSM_DTYPE_I32, &n);
    int32_t *wanted = golden(3, "greedy", VKSSM_DTYPE_I32, &n_all);
    int32_t found[N_GREEDY] = {0};
    uint32_t n_found;
    CHECK_EQ(n_all, n + N_RECORDED);
    CHECK_OK(vkssm_session_reset(run.session, 0));
    CHECK_OK(vkssm_session_prefill(run.session, 0, prompt, n, VKSSM_LOGITS_NONE, NULL));
    CHECK_OK(vkssm_session_generate(run.session, 0, &(vkssm_generate_params){.n_token = N_GREEDY}, found, &n_found));
    CHECK_EQ(n_found, N_GREEDY);
    for (size_t k = 0; k < N_GREEDY; k++)
        CHECK_EQ(found[k], wanted[n + k]);
    free(prompt);
    free(wanted);
    model_close(&run);
}

int main(int argc, char **argv) {
    return model_main(argc, argv, (check_case[]){CHECK_RUN(logits), CHECK_RUN(greedy), {0}});
}
