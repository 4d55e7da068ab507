// Pre-tokenization: a list of steps that cut a text into words. Merges never cross the cuts.
#ifndef VKS_PRETOKENIZE_H
#define VKS_PRETOKENIZE_H

#include "pattern.h"

typedef enum vks_split_behavior {
    VKS_SPLIT_REMOVED,
    VKS_SPLIT_ISOLATED,
    VKS_SPLIT_MERGED_WITH_PREVIOUS,
    VKS_SPLIT_MERGED_WITH_NEXT,
    VKS_SPLIT_CONTIGUOUS,
} vks_split_behavior;

typedef struct vks_pretoken_step {
    pcre2_code *pattern; // NULL: nothing is cut
    vks_split_behavior behavior;
    bool invert;       // what the pattern does not match counts as matched
    bool add_space;    // a space in front of every piece that has none
    bool spells_bytes; // from here on steps see the text spelled in the byte alphabet (the step is a ByteLevel)
} vks_pretoken_step;

typedef struct vks_pretokenizer {
    vks_pattern_env env;
    vks_pretoken_step *steps;
    size_t n_step, step_capacity;
} vks_pretokenizer;

void vks_pretokenizer_finish(vks_pretokenizer *pretokenizer);
// False when out of memory; the pattern then still belongs to the caller.
bool vks_pretokenizer_add(vks_pretokenizer *pretokenizer, vks_pretoken_step step);

typedef struct vks_span {
    size_t start, end;
    bool is_match; // while a step works
} vks_span;

typedef struct vks_span_list {
    vks_span *items;
    size_t n, capacity;
} vks_span_list;

// Working memory of one encoding call; zero-initialise. After vks_pretokenize: the words are text[span] of each span.
typedef struct vks_pretoken_work {
    char *text, *spare;
    size_t text_size, text_capacity, spare_capacity;
    vks_span_list spans, next_spans, matches;
    pcre2_match_data *match;
} vks_pretoken_work;

void vks_pretoken_work_finish(vks_pretoken_work *work);

// Cut one stretch of valid UTF-8. Errors: ERR_OOM_HOST, ERR_UNSUPPORTED (a pattern goes beyond the limits of matching).
vkssm_status vks_pretokenize(const vks_pretokenizer *pretokenizer, const char *text, size_t size, const vkssm_log *log,
                             vks_pretoken_work *work);

#endif
