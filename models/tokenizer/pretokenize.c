#include "pretokenize.h"

#include <string.h>

#include "byte_alphabet.h"
#include "host/base/alloc.h"
#include "unicode_text.h"

void vks_pretokenizer_finish(vks_pretokenizer *pretokenizer) {
    for (size_t i = 0; i < pretokenizer->n_step; i++)
        pcre2_code_free(pretokenizer->steps[i].pattern);
    vks_free(pretokenizer->steps);
    vks_pattern_env_finish(&pretokenizer->env);
    memset(pretokenizer, 0, sizeof *pretokenizer);
}

bool vks_pretokenizer_add(vks_pretokenizer *pretokenizer, vks_pretoken_step step) {
    void *steps = pretokenizer->steps;
    if (!vks_grow(&steps, &pretokenizer->step_capacity, pretokenizer->n_step + 1, sizeof step)) return false;
    pretokenizer->steps = steps;
    pretokenizer->steps[pretokenizer->n_step++] = step;
    return true;
}

void vks_pretoken_work_finish(vks_pretoken_work *work) {
    vks_free(work->text);
    vks_free(work->spare);
    vks_free(work->spans.items);
    vks_free(work->next_spans.items);
    vks_free(work->matches.items);
    pcre2_match_data_free(work->match);
    memset(work, 0, sizeof *work);
}

static vkssm_status out_of_memory(const vkssm_log *log, size_t size) {
    return vks_fail(log, VKSSM_ERR_OOM_HOST, "text: out of memory for cutting %zu bytes into words", size);
}

static bool push_span(vks_span_list *list, size_t start, size_t end, bool is_match) {
    if (list->n == list->capacity) {
        void *items = list->items;
        if (!vks_grow(&items, &list->capacity, list->n + 1, sizeof *list->items)) return false;
        list->items = items;
    }
    list->items[list->n++] = (vks_span){.start = start, .end = end, .is_match = is_match};
    return true;
}

static bool reserve_text(char **text, size_t *capacity, size_t size) {
    void *grown = *text;
    bool ok = vks_grow(&grown, capacity, size, 1);
    *text = grown;
    return ok;
}

static void swap_text(vks_pretoken_work *work, size_t new_size) {
    char *text = work->text;
    size_t capacity = work->text_capacity;
    work->text = work->spare;
    work->text_capacity = work->spare_capacity;
    work->spare = text;
    work->spare_capacity = capacity;
    work->text_size = new_size;
}

static void swap_spans(vks_pretoken_work *work) {
    vks_span_list spans = work->spans;
    work->spans = work->next_spans;
    work->next_spans = spans;
}

// The matches of a pattern in one piece and the stretches between them, in order. An empty match right after a match
// does not count. The pattern sees the piece alone: the text around it is not there for look-ahead and look-behind.
static vkssm_status find_matches(const vks_pretokenizer *pretokenizer, const vks_pretoken_step *step, vks_span piece,
                                 const vkssm_log *log, vks_pretoken_work *work) {
    const char *text = work->text + piece.start;
    size_t size = piece.end - piece.start, at = 0, previous = 0, last_match = SIZE_MAX;
    work->matches.n = 0;
    while (at <= size) {
        int n = pcre2_match(step->pattern, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK, work->match,
                            pretokenizer->env.match);
        if (n == PCRE2_ERROR_NOMATCH) break;
        if (n == PCRE2_ERROR_NOMEMORY) return out_of_memory(log, size);
        if (n < 0)
            return vks_fail(log, VKSSM_ERR_UNSUPPORTED,
                            "text: a pattern of the pre-tokenizer exceeds the limits of matching (PCRE2 error %d)", n);
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(work->match);
        size_t start = found[0], end = found[1];
        if (start == end && end == last_match) {
            uint32_t code_point;
            at += at < size ? vks_utf8_next(text, size, at, &code_point) : 1;
            continue;
        }
        at = last_match = end;
        if (previous < start && !push_span(&work->matches, piece.start + previous, piece.start + start, step->invert))
            return out_of_memory(log, size);
        if (!push_span(&work->matches, piece.start + start, piece.start + end, !step->invert))
            return out_of_memory(log, size);
        previous = end;
    }
    if (previous < size && !push_span(&work->matches, piece.start + previous, piece.end, step->invert))
        return out_of_memory(log, size);
    return VKSSM_OK;
}

// Join neighbours of work->matches as the behavior wants, in place.
static void join_forward(vks_span_list *list, vks_split_behavior behavior) {
    bool previous_match = false;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        vks_span span = list->items[i];
        bool joins =
            behavior == VKS_SPLIT_CONTIGUOUS ? span.is_match == previous_match : span.is_match && !previous_match;
        previous_match = span.is_match;
        if (joins && n)
            list->items[n - 1].end = span.end;
        else
            list->items[n++] = span;
    }
    list->n = n;
}

static void join_backward(vks_span_list *list) {
    bool previous_match = false;
    size_t first = list->n;
    for (size_t i = list->n; i-- > 0;) {
        vks_span span = list->items[i];
        bool joins = span.is_match && !previous_match && first < list->n;
        previous_match = span.is_match;
        if (joins)
            list->items[first].start = span.start;
        else
            list->items[--first] = span;
    }
    list->n -= first;
    if (first) memmove(list->items, list->items + first, list->n * sizeof *list->items);
}

static vkssm_status split_pieces(const vks_pretokenizer *pretokenizer, const vks_pretoken_step *step,
                                 const vkssm_log *log, vks_pretoken_work *work) {
    if (!step->pattern) return VKSSM_OK;
    work->next_spans.n = 0;
    for (size_t i = 0; i < work->spans.n; i++) {
        VKS_TRY(find_matches(pretokenizer, step, work->spans.items[i], log, work));
        vks_span_list *found = &work->matches;
        if (step->behavior == VKS_SPLIT_MERGED_WITH_PREVIOUS || step->behavior == VKS_SPLIT_CONTIGUOUS)
            join_forward(found, step->behavior);
        else if (step->behavior == VKS_SPLIT_MERGED_WITH_NEXT)
            join_backward(found);
        for (size_t k = 0; k < found->n; k++) {
            vks_span span = found->items[k];
            if (span.start == span.end || (step->behavior == VKS_SPLIT_REMOVED && span.is_match)) continue;
            if (!push_span(&work->next_spans, span.start, span.end, false)) return out_of_memory(log, work->text_size);
        }
    }
    swap_spans(work);
    return VKSSM_OK;
}

static vkssm_status add_spaces(const vkssm_log *log, vks_pretoken_work *work) {
    if (!reserve_text(&work->spare, &work->spare_capacity, work->text_size + work->spans.n))
        return out_of_memory(log, work->text_size);
    size_t n = 0;
    for (size_t i = 0; i < work->spans.n; i++) {
        vks_span *span = &work->spans.items[i];
        size_t size = span->end - span->start, start = n;
        if (work->text[span->start] != ' ') work->spare[n++] = ' ';
        memcpy(work->spare + n, work->text + span->start, size);
        n += size;
        span->start = start;
        span->end = n;
    }
    swap_text(work, n);
    return VKSSM_OK;
}

// Spell every piece in the byte alphabet, or undo that.
static vkssm_status respell(bool in_alphabet, const vkssm_log *log, vks_pretoken_work *work) {
    if (!reserve_text(&work->spare, &work->spare_capacity, 2 * work->text_size))
        return out_of_memory(log, work->text_size);
    size_t n = 0;
    for (size_t i = 0; i < work->spans.n; i++) {
        vks_span *span = &work->spans.items[i];
        size_t size = span->end - span->start, n_out = 0;
        const char *text = work->text + span->start;
        if (in_alphabet)
            n_out = vks_alphabet_encode(text, size, work->spare + n);
        else if (!vks_alphabet_decode(text, size, work->spare + n, &n_out))
            return vks_fail(log, VKSSM_ERR_INTERNAL, "text: a word left the byte alphabet");
        span->start = n;
        span->end = n += n_out;
    }
    swap_text(work, n);
    return VKSSM_OK;
}

vkssm_status vks_pretokenize(const vks_pretokenizer *pretokenizer, const char *text, size_t size, const vkssm_log *log,
                             vks_pretoken_work *work) {
    if (!work->match) work->match = pcre2_match_data_create(1, pretokenizer->env.general);
    work->spans.n = 0;
    if (!work->match || !reserve_text(&work->text, &work->text_capacity, size) ||
        (size && !push_span(&work->spans, 0, size, false)))
        return out_of_memory(log, size);
    if (size) memcpy(work->text, text, size);
    work->text_size = size;
    bool in_alphabet = false;
    for (size_t i = 0; i < pretokenizer->n_step; i++) {
        const vks_pretoken_step *step = &pretokenizer->steps[i];
        if (step->add_space) VKS_TRY(add_spaces(log, work));
        VKS_TRY(split_pieces(pretokenizer, step, log, work));
        // Spelling is only worth its time if a later step looks at it.
        if (step->spells_bytes && i + 1 < pretokenizer->n_step) {
            VKS_TRY(respell(true, log, work));
            in_alphabet = true;
        }
    }
    return in_alphabet ? respell(false, log, work) : VKSSM_OK;
}
