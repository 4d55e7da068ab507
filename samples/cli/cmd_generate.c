// vkssm generate: continue a text.
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
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
    p.n_stop_token = cli_stop_tokens(run, p.stop_tokens);

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

typedef struct choice { // as the options give it
    double temperature, top_p, min_p, repetition, presence;
    uint32_t n_token, top_k;
    uint64_t seed;
} choice;

static vkssm_generate_params params_of(const choice *c) {
    return (vkssm_generate_params){
        .n_token = c->n_token,
        .sampling = {.temperature = (float)c->temperature,
                     .top_k = c->top_k,
                     .top_p = c->top_p < FLT_MIN ? FLT_MIN : (float)c->top_p, // as a float it would be 0, which means 1
                     .seed = c->seed,
                     .min_p = (float)c->min_p,
                     .repetition_penalty = (float)c->repetition,
                     .presence_penalty = (float)c->presence},
    };
}

static int generate_batch(cli_setup *setup, cli_run *run, const char *path, uint32_t n_slot,
                          const vkssm_generate_params *params) {
    cli_prompts prompts;
    if (cli_prompts_read(path, &prompts)) return CLI_FAILED;
    setup->n_slot = prompts.n_line < n_slot ? (uint32_t)prompts.n_line : n_slot;
    int status = cli_open(setup, run);
    if (status == CLI_OK && prompts.n_line > n_slot)
        fprintf(stderr, "%zu prompts take turns in %" PRIu32 " slots\n", prompts.n_line, n_slot);
    if (status == CLI_OK) status = cli_batch_run(run, &prompts, setup->n_slot, params);
    cli_prompts_free(&prompts);
    return status;
}

int cmd_generate(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    const char *prompt = NULL, *batch = NULL;
    // The seed is fixed: the same command tells the same story.
    choice c = {.n_token = 256, .temperature = 0.8, .top_p = 0.95, .repetition = 1, .seed = 1};
    uint32_t n_slot = 64;
    const cli_option options[] = {
        CLI_MODEL_OPTION(&setup),
        {.name = "--prompt", .argument = "TEXT", .help = "the text to continue", .type = CLI_TEXT, .value = &prompt},
        {.name = "--batch",
         .argument = "FILE",
         .help =
             "in place of --prompt: continue every line of FILE, several at a time; printed in the order of the lines",
         .type = CLI_TEXT,
         .value = &batch},
        {.name = "--slots",
         .argument = "N",
         .help = "texts written at a time with --batch (default 64)",
         .type = CLI_COUNT,
         .min = 1,
         .max = 4096,
         .value = &n_slot},
        {.name = "--tokens",
         .argument = "N",
         .help = "tokens to generate at most; the model's end token ends the text before (default 256)",
         .type = CLI_COUNT,
         .min = 1,
         .max = UINT32_MAX,
         .value = &c.n_token},
        {.name = "--temperature",
         .argument = "T",
         .help = "0 takes the most probable token each time (default 0.8)",
         .type = CLI_REAL,
         .min = 0,
         .max = FLT_MAX,
         .value = &c.temperature},
        {.name = "--top-k",
         .argument = "K",
         .help = "choose among the K most probable tokens; 0: among all (default 0)",
         .type = CLI_COUNT,
         .min = 0,
         .max = UINT32_MAX,
         .value = &c.top_k},
        {.name = "--top-p",
         .argument = "P",
         .help = "choose among the most probable tokens that have P together (default 0.95)",
         .type = CLI_REAL,
         .above_min = true,
         .min = 0,
         .max = 1,
         .value = &c.top_p},
        {.name = "--min-p",
         .argument = "P",
         .help = "choose among tokens at least P times as probable as the most probable one (default 0)",
         .type = CLI_REAL,
         .min = 0,
         .max = 1,
         .value = &c.min_p},
        {.name = "--repetition-penalty",
         .argument = "R",
         .help = "divide the positive logits of tokens generated before by R, multiply the negative ones (default 1)",
         .type = CLI_REAL,
         .above_min = true,
         .min = 0,
         .max = 1e6,
         .value = &c.repetition},
        {.name = "--presence-penalty",
         .argument = "P",
         .help = "subtract P from the logits of tokens generated before (default 0)",
         .type = CLI_REAL,
         .min = -1e6,
         .max = 1e6,
         .value = &c.presence},
        {.name = "--seed",
         .argument = "S",
         .help = "the same seed gives the same text on the same device (default 1)",
         .type = CLI_SEED,
         .value = &c.seed},
        CLI_PRECISION_OPTIONS(&setup),
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    if (!prompt == !batch)
        return cli_usage(command, "--prompt or --batch expected, %s found", prompt ? "both" : "neither");
    if (prompt && !*prompt) return cli_fail("--prompt: expected a text, found an empty one");

    vkssm_generate_params params = params_of(&c);
    cli_run run = {0};
    if (batch) return cli_close(&run, generate_batch(&setup, &run, batch, n_slot, &params));
    status = cli_open(&setup, &run);
    if (status == CLI_OK) status = generate(&run, prompt, &params);
    return cli_close(&run, status);
}
