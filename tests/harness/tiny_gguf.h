// A small GGUF file of a Mamba-2 in memory, with a tokenizer, for tests that break it.
#ifndef TINY_GGUF_H
#define TINY_GGUF_H

#include <stdlib.h>
#include <string.h>

#include "host/base/alloc.h"
#include "models/io/gguf_write.h"

typedef struct tiny_gguf {
    bool pieces;            // the tokenizer's kind: scores, or merges
    const char *arch;       // NULL: "mamba2"
    const char *leave_out;  // a key or a tensor that is not there, or NULL
    const char *twice;      // a key that is there twice, or NULL
    uint32_t alignment;     // general.alignment; 0: no such key
    const char *tokenizer;  // NULL: by `pieces`
    const char *pre;        // NULL: "gpt-2"
} tiny_gguf;

enum { TINY_D = 32, TINY_V = 12 };

// Keys that a test may leave out or repeat pass here.
static inline int tiny_times(const tiny_gguf *tiny, const char *key) {
    if (tiny->leave_out && strcmp(tiny->leave_out, key) == 0) return 0;
    return tiny->twice && strcmp(tiny->twice, key) == 0 ? 2 : 1;
}

static inline void tiny_number(const tiny_gguf *tiny, vks_gguf_writer *w, const char *key, uint32_t value) {
    for (int i = tiny_times(tiny, key); i > 0; i--)
        vks_gguf_add_u32(w, key, value);
}

static inline void tiny_tokens(const tiny_gguf *tiny, vks_gguf_writer *w) {
    static const char *const merged[TINY_V] = {"<s>", "a", "b", "ab", "\xc4\xa0", "c", "abc", "\xc4\xa0" "ab", "d", "e", "f", "g"};
    static const char *const pieces[TINY_V] = {"<s>",    "a", "b",   "ab",     "\xe2\x96\x81", "c",
                                               "abc", "\xe2\x96\x81" "ab", "<0xC3>", "<0xA9>", "<0x64>", "<unk>"};
    static const float scores[TINY_V] = {0, -1, -1, -2, -1, -1, -4, -3, 0, 0, 0, 0};
    static const int32_t piece_types[TINY_V] = {3, 1, 1, 1, 1, 1, 1, 1, 6, 6, 6, 2}, types[TINY_V] = {3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5};
    const char *const *tokens = tiny->pieces ? pieces : merged;
    for (int i = tiny_times(tiny, "tokenizer.ggml.model"); i > 0; i--)
        vks_gguf_add_string(w, "tokenizer.ggml.model", tiny->tokenizer ? tiny->tokenizer : tiny->pieces ? "llama" : "gpt2");
    vks_gguf_add_string(w, "tokenizer.ggml.pre", tiny->pre ? tiny->pre : "gpt-2");
    if (tiny_times(tiny, "tokenizer.ggml.tokens")) vks_gguf_add_strings(w, "tokenizer.ggml.tokens", TINY_V);
    for (int i = 0; i < TINY_V && tiny_times(tiny, "tokenizer.ggml.tokens"); i++)
        vks_gguf_add_item(w, tokens[i], strlen(tokens[i]));
    vks_gguf_add_i32s(w, "tokenizer.ggml.token_type", tiny->pieces ? piece_types : types, TINY_V);
    if (tiny->pieces) {
        // An array of floats has the bytes of one of integers, but for its type.
        int32_t bits[TINY_V];
        memcpy(bits, scores, sizeof bits);
        size_t before = w->value_size;
        vks_gguf_add_i32s(w, "tokenizer.ggml.scores", bits, TINY_V);
        if (!w->failed) w->values[before + 8 + strlen("tokenizer.ggml.scores") + 4] = VKS_GGUF_F32;
        vks_gguf_add_u32(w, "tokenizer.ggml.unknown_token_id", 11);
    } else if (tiny_times(tiny, "tokenizer.ggml.merges")) {
        static const char *const merges[] = {"a b", "ab c", "\xc4\xa0 ab"};
        vks_gguf_add_strings(w, "tokenizer.ggml.merges", 3);
        for (int i = 0; i < 3; i++)
            vks_gguf_add_item(w, merges[i], strlen(merges[i]));
    }
    vks_gguf_add_u32(w, "tokenizer.ggml.bos_token_id", 0);
    vks_gguf_add_u32(w, "tokenizer.ggml.eos_token_id", 0);
    vks_gguf_add_bool(w, "tokenizer.ggml.add_bos_token", true);
}

static inline void tiny_tensor(const tiny_gguf *tiny, vks_gguf_writer *w, const char *name, vkssm_dtype dtype, uint32_t n_dim,
                               uint64_t rows, uint64_t columns) {
    if (tiny_times(tiny, name)) vks_gguf_add_tensor(w, name, dtype, n_dim, (uint64_t[]){rows, columns});
}

// D 32, one layer, 2 heads of width 32, state 4, K 2, V 12. To be freed.
static inline uint8_t *tiny_gguf_make(const tiny_gguf *tiny, size_t *size) {
    vks_gguf_writer w = {0};
    for (int i = tiny_times(tiny, "general.architecture"); i > 0; i--)
        vks_gguf_add_string(&w, "general.architecture", tiny->arch ? tiny->arch : "mamba2");
    if (tiny->alignment) vks_gguf_add_u32(&w, "general.alignment", tiny->alignment);
    tiny_number(tiny, &w, "mamba2.embedding_length", TINY_D);
    tiny_number(tiny, &w, "mamba2.block_count", 1);
    tiny_number(tiny, &w, "mamba2.ssm.conv_kernel", 2);
    tiny_number(tiny, &w, "mamba2.ssm.inner_size", 2 * TINY_D);
    tiny_number(tiny, &w, "mamba2.ssm.state_size", 4);
    tiny_number(tiny, &w, "mamba2.ssm.time_step_rank", 2);
    tiny_number(tiny, &w, "mamba2.ssm.group_count", 1);
    vks_gguf_add_f32(&w, "mamba2.attention.layer_norm_rms_epsilon", 1e-5f);
    tiny_tokens(tiny, &w);
    tiny_tensor(tiny, &w, "token_embd.weight", VKSSM_DTYPE_Q8_0, 2, TINY_V, TINY_D);
    tiny_tensor(tiny, &w, "output_norm.weight", VKSSM_DTYPE_F32, 1, TINY_D, 0);
    tiny_tensor(tiny, &w, "blk.0.attn_norm.weight", VKSSM_DTYPE_F32, 1, TINY_D, 0);
    tiny_tensor(tiny, &w, "blk.0.ssm_in.weight", VKSSM_DTYPE_Q4_0, 2, 4 * TINY_D + 8 + 2, TINY_D);
    tiny_tensor(tiny, &w, "blk.0.ssm_conv1d.weight", VKSSM_DTYPE_F32, 2, 2 * TINY_D + 8, 2);
    tiny_tensor(tiny, &w, "blk.0.ssm_conv1d.bias", VKSSM_DTYPE_F32, 1, 2 * TINY_D + 8, 0);
    tiny_tensor(tiny, &w, "blk.0.ssm_dt.bias", VKSSM_DTYPE_F32, 1, 2, 0);
    tiny_tensor(tiny, &w, "blk.0.ssm_a", VKSSM_DTYPE_F32, 2, 2, 1);
    tiny_tensor(tiny, &w, "blk.0.ssm_d", VKSSM_DTYPE_F32, 2, 2, 1);
    tiny_tensor(tiny, &w, "blk.0.ssm_norm.weight", VKSSM_DTYPE_F32, 2, 1, 2 * TINY_D);
    tiny_tensor(tiny, &w, "blk.0.ssm_out.weight", VKSSM_DTYPE_Q8_0, 2, TINY_D, 2 * TINY_D);
    size_t at = 24 + w.value_size + w.info_size;
    uint64_t alignment = tiny->alignment ? tiny->alignment : 32, data_at = vks_align_up(at, alignment);
    *size = (size_t)(data_at + w.data_size);
    uint8_t *file = calloc(1, *size);
    memcpy(file, "GGUF\3\0\0\0", 8);
    for (int i = 0; i < 8; i++) {
        file[8 + i] = (uint8_t)(w.n_tensor >> 8 * i);
        file[16 + i] = (uint8_t)(w.n_value >> 8 * i);
    }
    memcpy(file + 24, w.values, w.value_size);
    memcpy(file + 24 + w.value_size, w.infos, w.info_size);
    for (size_t i = (size_t)data_at; i < *size; i++)
        file[i] = (uint8_t)(i * 7 % 32); // small numbers, whatever the type
    vks_gguf_writer_finish(&w);
    return file;
}

#endif
