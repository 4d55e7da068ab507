#include "engine_story.h"

#include <stdio.h>
#include <string.h>

static bool fail(void) {
    fprintf(stderr, "engine: %s\n", vkssm_last_error());
    return false;
}

bool engine_story_create(engine_device *d, vkssm_device *device, const char *model, const char *prompt,
                         uint32_t budget_us, engine_story *s) {
    s->budget_us = budget_us;
    s->is_reading = true;
    if (vkssm_model_load(device, model, NULL, &s->model) || vkssm_session_create(s->model, NULL, &s->session))
        return fail();
    const vkssm_tokenizer *tokenizer = vkssm_model_get_tokenizer(s->model);
    if (!tokenizer) {
        fprintf(stderr, "engine: %s has no tokenizer\n", model);
        return false;
    }
    bool bos = vkssm_tokenizer_adds_bos(tokenizer);
    if (vkssm_tokenizer_encode(tokenizer, prompt, strlen(prompt), bos, false, &s->prompt, &s->n_prompt) ||
        vkssm_session_prepare_prefill(s->session, 16, NULL) ||
        vkssm_session_prepare_step(s->session, 1, true, &s->estimate_us))
        return fail();
    if (s->n_prompt < 2) {
        fprintf(stderr, "engine: a prompt of two tokens at least expected\n");
        return false;
    }
    return engine_buffer_create(d, ENGINE_MAX_TOKEN * 16, &s->sampled);
}

void engine_story_destroy(engine_device *d, engine_story *s) {
    engine_buffer_destroy(d, &s->sampled);
    vkssm_free(s->prompt);
    vkssm_session_destroy(&s->session);
    vkssm_model_destroy(&s->model);
}

// All of the prompt but its last token, which the first step reads.
static bool record_prompt(engine_story *s, VkCommandBuffer commands) {
    const vkssm_record_prefill prefill = {
        .n_token = (uint32_t)s->n_prompt - 1, .tokens = s->prompt, .budget_us = s->budget_us};
    if (vkssm_session_record_prefill(s->session, commands, &prefill, &s->cursor)) return fail();
    s->is_reading = !s->cursor.complete;
    return true;
}

bool engine_story_record(engine_story *s, VkCommandBuffer commands) {
    static const uint32_t slot = 0;
    if (s->cursor.complete) s->cursor = (vkssm_cursor){0};
    if (s->is_reading) return record_prompt(s, commands);
    if (s->n_token == ENGINE_MAX_TOKEN) return true;
    const vkssm_sampling sampling = {.temperature = 0.8f, .top_p = 0.9f, .seed = 7};
    vkssm_record_step step = {.n_slot = 1,
                              .slots = &slot,
                              .tokens = s->n_token ? NULL : &s->prompt[s->n_prompt - 1],
                              .sampling = &sampling,
                              .sampled = s->sampled.range,
                              .budget_us = s->budget_us};
    step.sampled.offset = s->n_token * 16;
    if (vkssm_session_record_step(s->session, commands, &step, &s->cursor)) return fail();
    s->n_token += s->cursor.complete;
    return true;
}

void engine_story_print(const engine_story *s) {
    int32_t tokens[ENGINE_MAX_TOKEN], end = vkssm_tokenizer_eos(vkssm_model_get_tokenizer(s->model));
    uint32_t n = 0;
    for (; n < s->n_token; n++) {
        memcpy(&tokens[n], (const uint8_t *)s->sampled.mapped + n * 16, sizeof *tokens);
        if (tokens[n] == end) break;
    }
    char *before = NULL, *text = NULL;
    size_t size;
    const vkssm_tokenizer *tokenizer = vkssm_model_get_tokenizer(s->model);
    if (!vkssm_tokenizer_decode(tokenizer, s->prompt, s->n_prompt, true, &before, &size) &&
        !vkssm_tokenizer_decode(tokenizer, tokens, n, true, &text, &size))
        printf("%s%s\n(%u tokens)\n", before, text, (unsigned)n);
    vkssm_free(before);
    vkssm_free(text);
}
