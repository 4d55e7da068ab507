// vkssm generate: continue a text.
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common.h"
#include "ids.h"
#include "utf8.h"

typedef struct printer {
    const vkssm_tokenizer *tokenizer;
    int32_t stop_tokens[2];
    uint32_t n_stop_token;
    utf8_stream stream;
    uint32_t n_token;
    double first_time, last_time; // when the first and the last token came
} printer;

static bool is_stop_token(const printer *p, int32_t token) {
    for (uint32_t i = 0; i < p->n_stop_token; i++)
        if (p->stop_tokens[i] == token) return true;
    return false;
}

static void add_stop_token(printer *p, int32_t token) {
    if (token >= 0 && !is_stop_token(p, token)) p->stop_tokens[p->n_stop_token++] = token;
}

static bool print_token(void *user, int32_t token) {
    printer *p = user;
    p->last_time = cli_now();
    if (p->n_token++ == 0) p->first_time = p->last_time;
    if (is_stop_token(p, token)) return true; // the library stops by itself
    char *text = NULL;
    size_t text_size = 0;
    // A vocabulary padded to a round size has rows without a token; a model may choose one all the same.
    if (vkssm_tokenizer_decode(p->tokenizer, &token, 1, true, &text, &text_size)) {
        utf8_end(&p->stream, stdout);
        fputs("\xef\xbf\xbd", stdout);
    } else {
        utf8_write(&p->stream, text, text_size, stdout);
    }
    vkssm_free(text);
    return fflush(stdout) == 0 && !ferror(stdout);
}

static double mebibytes(uint64_t size) {
    return (double)size / (1 << 20);
}

static void print_closing_line(const cli_run *run, size_t n_prompt, double prefill_time, const printer *p) {
    const vkssm_model_info *model = &run->model_info;
    uint64_t state_size = model->state_size;
    uint64_t scratch_size = run->session_size > state_size ? run->session_size - state_size : 0;
    fprintf(stderr, "prefill %zu token%s", n_prompt, n_prompt == 1 ? "" : "s");
    if (prefill_time > 0) fprintf(stderr, " at %.1f tokens/s", (double)n_prompt / prefill_time);
    fprintf(stderr, ", decode %" PRIu32 " token%s", p->n_token, p->n_token == 1 ? "" : "s");
    double decode_time = p->last_time - p->first_time;
    if (p->n_token > 1 && decode_time > 0) fprintf(stderr, " at %.1f tokens/s", (p->n_token - 1) / decode_time);
    fprintf(stderr, ", %s (%s), memory %.1f MiB (weights %.1f, states %.1f, scratch %.1f)\n", run->device_info.name,
            run->device_info.driver, mebibytes(model->weight_size + state_size + scratch_size),
            mebibytes(model->weight_size), mebibytes(state_size), mebibytes(scratch_size));
}

static int generate(cli_run *run, const char *prompt, vkssm_generate_params *params) {
    cli_ids ids;
    int status = cli_ids_from_text(run, "--prompt", prompt, strlen(prompt), &ids);
    if (status) return status;
    printer p = {.tokenizer = vkssm_model_get_tokenizer(run->model)};
    add_stop_token(&p, vkssm_tokenizer_eos(p.tokenizer));
    add_stop_token(&p, run->model_info.eos);

    double start = cli_now();
    status = cli_prefill(run, ids.ids, ids.n_id, VKSSM_LOGITS_NONE, NULL);
    double prefill_time = cli_now() - start;
    free(ids.ids);
    if (status) return status;

    fputs(prompt, stdout);
    fflush(stdout);
    params->stop_tokens = p.stop_tokens;
    params->n_stop_token = p.n_stop_token;
    params->on_token = print_token;
    params->user = &p;
    vkssm_status generated = vkssm_session_generate(run->session, 0, params, NULL, NULL);
    utf8_end(&p.stream, stdout);
    putchar('\n');
    if (cli_end_output(CLI_OK)) return CLI_FAILED;
    if (generated) return cli_library_failed(NULL);
    print_closing_line(run, ids.n_id, prefill_time, &p);
    return CLI_OK;
}

int cmd_generate(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    const char *prompt = NULL;
    uint32_t n_token = 256, top_k = 0;
    uint64_t seed = 1; // fixed: the same command tells the same story
    double temperature = 0.8, top_p = 0.95;
    const cli_option options[] = {
        CLI_MODEL_OPTION(&setup),
        {.name = "--prompt",
         .argument = "TEXT",
         .help = "the text to continue",
         .type = CLI_TEXT,
         .required = true,
         .value = &prompt},
        {.name = "--tokens",
         .argument = "N",
         .help = "tokens to generate at most; the model's end token ends the text before (default 256)",
         .type = CLI_COUNT,
         .min = 1,
         .max = UINT32_MAX,
         .value = &n_token},
        {.name = "--temperature",
         .argument = "T",
         .help = "0 takes the most probable token each time (default 0.8)",
         .type = CLI_REAL,
         .min = 0,
         .max = FLT_MAX,
         .value = &temperature},
        {.name = "--top-k",
         .argument = "K",
         .help = "choose among the K most probable tokens; 0: among all (default 0)",
         .type = CLI_COUNT,
         .min = 0,
         .max = UINT32_MAX,
         .value = &top_k},
        {.name = "--top-p",
         .argument = "P",
         .help = "choose among the most probable tokens that have P together (default 0.95)",
         .type = CLI_REAL,
         .above_min = true,
         .min = 0,
         .max = 1,
         .value = &top_p},
        {.name = "--seed",
         .argument = "S",
         .help = "the same seed gives the same text on the same device (default 1)",
         .type = CLI_SEED,
         .value = &seed},
        CLI_PRECISION_OPTIONS(&setup),
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    if (!*prompt) return cli_fail("--prompt: expected a text, found an empty one");

    if (top_p < FLT_MIN) top_p = FLT_MIN; // as a float it would be 0, which means 1
    vkssm_generate_params params = {
        .n_token = n_token,
        .sampling = {.temperature = (float)temperature, .top_k = top_k, .top_p = (float)top_p, .seed = seed},
    };
    cli_run run = {0};
    status = cli_open(&setup, &run);
    if (status == CLI_OK) status = generate(&run, prompt, &params);
    return cli_close(&run, status);
}
