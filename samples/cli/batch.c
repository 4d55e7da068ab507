#include "batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"
#include "utf8.h"

enum { MAX_FILE = 1 << 26 }; // bytes of prompts

// ---- the file -------------------------------------------------------------------------------------------------------

static int read_text(const char *path, char **out, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return cli_fail("%s: %s", path, strerror(errno));
    size_t n = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    while (text) {
        n += fread(text + n, 1, capacity - n - 1, file);
        if (n + 1 < capacity) break;
        capacity *= 2;
        char *more = capacity <= MAX_FILE ? realloc(text, capacity) : NULL;
        if (!more) free(text);
        text = more;
    }
    bool failed = ferror(file) != 0;
    fclose(file);
    if (!text) return cli_fail("%s: at most %d bytes of prompts expected, more found", path, MAX_FILE);
    if (failed || memchr(text, 0, n)) {
        free(text);
        return cli_fail("%s: lines of text expected, %s found", path, failed ? "an error" : "a zero byte");
    }
    text[n] = 0;
    *out = text;
    *size = n;
    return CLI_OK;
}

int cli_prompts_read(const char *path, cli_prompts *out) {
    size_t size = 0, n_line = 1;
    *out = (cli_prompts){0};
    if (read_text(path, &out->text, &size)) return CLI_FAILED;
    for (size_t i = 0; i < size; i++)
        n_line += out->text[i] == '\n';
    out->lines = calloc(n_line, sizeof *out->lines);
    if (!out->lines) {
        cli_prompts_free(out);
        return cli_fail("%s: out of memory", path);
    }
    char *at = out->text, *end = out->text + size;
    for (size_t line = 1; at < end; line++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        *stop = 0;
        if (stop > at && stop[-1] == '\r') stop[-1] = 0;
        if (!*at) {
            cli_prompts_free(out);
            return cli_fail("%s: line %zu: a prompt expected, an empty line found", path, line);
        }
        out->lines[out->n_line++] = at;
        at = stop + 1;
    }
    if (out->n_line) return CLI_OK;
    cli_prompts_free(out);
    return cli_fail("%s: at least one prompt expected, an empty file found", path);
}

void cli_prompts_free(cli_prompts *prompts) {
    free(prompts->text);
    free(prompts->lines);
    *prompts = (cli_prompts){0};
}

uint32_t cli_stop_tokens(const cli_run *run, int32_t *tokens) {
    const vkssm_tokenizer *tokenizer = vkssm_model_get_tokenizer(run->model); // NULL: the model has none
    int32_t eos = tokenizer ? vkssm_tokenizer_eos(tokenizer) : -1, other = run->model_info.eos;
    uint32_t n = 0;
    if (eos >= 0) tokens[n++] = eos;
    if (other >= 0 && other != eos) tokens[n++] = other;
    return n;
}

// ---- running --------------------------------------------------------------------------------------------------------

typedef struct text {
    int32_t *tokens; // [n_token of the parameters], NULL before it starts and after it was printed
    uint32_t n_token;
    bool done;
} text;

typedef struct batch {
    cli_run *run;
    const cli_prompts *prompts;
    vkssm_generate_params params;
    int32_t stop_tokens[2];
    text *texts;   // by prompt
    size_t *owner; // by slot: its prompt
    bool *busy;
    uint32_t n_slot;
    size_t n_started, n_printed;
    uint64_t n_read, n_written;
    double read_time, write_time;
} batch;

static bool is_stop(const batch *b, int32_t token) {
    for (uint32_t i = 0; i < b->params.n_stop_token; i++)
        if (b->stop_tokens[i] == token) return true;
    return false;
}

// As much of the texts as is done, in order.
static int print_done(batch *b) {
    const vkssm_tokenizer *tokenizer = vkssm_model_get_tokenizer(b->run->model);
    for (; b->n_printed < b->n_started && b->texts[b->n_printed].done; b->n_printed++) {
        text *t = &b->texts[b->n_printed];
        utf8_stream stream = {0};
        if (b->n_printed) puts("---");
        fputs(b->prompts->lines[b->n_printed], stdout);
        for (uint32_t i = 0; i < t->n_token; i++) {
            char *piece = NULL;
            size_t size = 0;
            if (is_stop(b, t->tokens[i])) continue;
            if (vkssm_tokenizer_decode(tokenizer, &t->tokens[i], 1, true, &piece, &size)) {
                utf8_end(&stream, stdout);
                fputs("\xef\xbf\xbd", stdout); // a row of the vocabulary without a token
            } else {
                utf8_write(&stream, piece, size, stdout);
            }
            vkssm_free(piece);
        }
        utf8_end(&stream, stdout);
        putchar('\n');
        free(t->tokens);
        t->tokens = NULL;
    }
    return cli_end_output(CLI_OK);
}

// Let the next prompt have a slot.
static int start(batch *b, uint32_t slot) {
    text *t = &b->texts[b->n_started];
    const char *prompt = b->prompts->lines[b->n_started];
    cli_ids ids;
    if (cli_ids_from_text(b->run, "--batch", prompt, strlen(prompt), &ids)) return CLI_FAILED;
    double begin = cli_now();
    bool failed = vkssm_session_reset(b->run->session, slot) ||
                  vkssm_session_prefill(b->run->session, slot, ids.ids, ids.n_id, VKSSM_LOGITS_NONE, NULL);
    b->read_time += cli_now() - begin;
    b->n_read += ids.n_id;
    free(ids.ids);
    if (failed) return cli_library_failed(NULL);
    t->tokens = malloc(b->params.n_token * sizeof *t->tokens);
    if (!t->tokens) return cli_fail("--batch: out of memory for %" PRIu32 " tokens", b->params.n_token);
    vkssm_generate_params params = b->params;
    params.sampling.seed += b->n_started; // else equal prompts would get equal texts
    b->owner[slot] = b->n_started++;
    b->busy[slot] = true;
    if (vkssm_session_join(b->run->session, slot, &params, t->tokens)) return cli_library_failed(NULL);
    return CLI_OK;
}

static int collect(batch *b) {
    for (uint32_t slot = 0; slot < b->n_slot; slot++) {
        bool takes_part = false;
        uint32_t n_token = 0;
        if (!b->busy[slot]) continue;
        if (vkssm_session_get_generated(b->run->session, slot, &takes_part, &n_token)) return cli_library_failed(NULL);
        if (takes_part) continue;
        text *t = &b->texts[b->owner[slot]];
        t->n_token = n_token;
        t->done = true;
        b->n_written += n_token;
        b->busy[slot] = false;
    }
    return print_done(b);
}

static int work(batch *b) {
    while (b->n_printed < b->prompts->n_line) {
        for (uint32_t slot = 0; slot < b->n_slot && b->n_started < b->prompts->n_line; slot++)
            if (!b->busy[slot] && start(b, slot)) return CLI_FAILED;
        double begin = cli_now();
        if (vkssm_session_advance(b->run->session, UINT32_MAX, NULL)) return cli_library_failed(NULL);
        b->write_time += cli_now() - begin;
        if (collect(b)) return CLI_FAILED;
    }
    return CLI_OK;
}

static void print_closing_line(const batch *b) {
    fprintf(stderr, "%zu prompts, prefill %" PRIu64 " tokens", b->prompts->n_line, b->n_read);
    if (b->read_time > 0) fprintf(stderr, " at %.1f tokens/s", (double)b->n_read / b->read_time);
    fprintf(stderr, ", decode %" PRIu64 " tokens", b->n_written);
    if (b->write_time > 0) fprintf(stderr, " at %.1f tokens/s", (double)b->n_written / b->write_time);
    fprintf(stderr, ", %" PRIu32 " slots, %s (%s)\n", b->n_slot, b->run->device_info.name, b->run->device_info.driver);
}

int cli_batch_run(cli_run *run, const cli_prompts *prompts, uint32_t n_slot, const vkssm_generate_params *params) {
    batch b = {.run = run, .prompts = prompts, .params = *params, .n_slot = n_slot};
    b.params.n_stop_token = cli_stop_tokens(run, b.stop_tokens);
    b.params.stop_tokens = b.stop_tokens;
    b.texts = calloc(prompts->n_line, sizeof *b.texts);
    b.owner = calloc(n_slot, sizeof *b.owner);
    b.busy = calloc(n_slot, sizeof *b.busy);
    int status = b.texts && b.owner && b.busy ? work(&b) : cli_fail("--batch: out of memory");
    for (size_t i = 0; b.texts && i < prompts->n_line; i++)
        free(b.texts[i].tokens);
    free(b.texts);
    free(b.owner);
    free(b.busy);
    if (status == CLI_OK) print_closing_line(&b);
    return status;
}
