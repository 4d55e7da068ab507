// Continue a text with a language model on the default device.
#include <stdio.h>
#include <string.h>
#include <vkssm/vkssm.h>

static bool print_token(void *tokenizer, int32_t token) {
    char *text = NULL;
    size_t text_size = 0;
    if (vkssm_tokenizer_decode(tokenizer, &token, 1, true, &text, &text_size)) return false;
    fwrite(text, 1, text_size, stdout);
    fflush(stdout);
    vkssm_free(text);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: minimal MODEL-FOLDER PROMPT\n");
        return 2;
    }
    const char *folder = argv[1], *prompt = argv[2];
    vkssm_device *device = NULL;
    vkssm_model *model = NULL;
    vkssm_session *session = NULL;
    vkssm_tokenizer *tokenizer = NULL;
    int32_t *ids = NULL;
    size_t n_id = 0;
    bool failed = true;

    if (vkssm_device_create(NULL, &device)) goto end;
    if (vkssm_model_load(device, folder, &(vkssm_model_params){.no_tokenizer = true}, &model)) goto end;
    if (vkssm_session_create(model, NULL, &session)) goto end;
    if (vkssm_tokenizer_open(folder, NULL, &tokenizer)) goto end;

    bool add_bos = vkssm_tokenizer_adds_bos(tokenizer);
    if (vkssm_tokenizer_encode(tokenizer, prompt, strlen(prompt), add_bos, false, &ids, &n_id)) goto end;
    if (vkssm_session_prefill(session, 0, ids, n_id, VKSSM_LOGITS_NONE, NULL)) goto end;

    int32_t end_token = vkssm_tokenizer_eos(tokenizer);
    vkssm_generate_params params = {.n_token = 256,
                                    .sampling = {.temperature = 0.8f, .top_p = 0.95f, .seed = 1},
                                    .stop_tokens = &end_token,
                                    .n_stop_token = end_token >= 0,
                                    .on_token = print_token,
                                    .user = tokenizer};
    printf("%s", prompt);
    failed = vkssm_session_generate(session, 0, &params, NULL, NULL) != VKSSM_OK;
    printf("\n");
end:
    if (failed) fprintf(stderr, "%s\n", vkssm_last_error());
    vkssm_free(ids);
    vkssm_tokenizer_destroy(&tokenizer);
    vkssm_session_destroy(&session);
    vkssm_model_destroy(&model);
    vkssm_device_destroy(&device);
    return failed;
}
