// vkssm eval: mean cross-entropy and perplexity over non-overlapping windows.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "common.h"
#include "ids.h"

typedef struct score {
    double loss; // nats per token
    uint64_t n_token, n_window;
    double time; // seconds in the library
} score;

// -log softmax(logits)[target], in double precision: sums over a vocabulary lose digits in float32.
static double cross_entropy(const float *logits, uint32_t n_vocab, int32_t target) {
    float largest = logits[0];
    for (uint32_t i = 1; i < n_vocab; i++)
        if (logits[i] > largest) largest = logits[i];
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - largest);
    return log(sum) + largest - logits[target];
}

// Add the loss of ids[1..n_input] given those before each, from an empty state. Logits come in pieces of `piece_max`.
static int score_window(cli_run *run, const int32_t *ids, size_t n_input, float *logits, size_t piece_max, score *out) {
    uint32_t n_vocab = run->model_info.n_vocab;
    if (vkssm_session_reset(run->session, 0)) return cli_library_failed(NULL);
    for (size_t done = 0; done < n_input;) {
        size_t piece = n_input - done < piece_max ? n_input - done : piece_max;
        double start = cli_now();
        if (vkssm_session_prefill(run->session, 0, ids + done, piece, VKSSM_LOGITS_ALL, logits))
            return cli_library_failed(NULL);
        out->time += cli_now() - start;
        for (size_t t = 0; t < piece; t++)
            out->loss += cross_entropy(logits + t * n_vocab, n_vocab, ids[done + t + 1]);
        done += piece;
    }
    out->n_token += n_input;
    out->n_window++;
    return CLI_OK;
}

// Window j holds ids[j W ... j W + W]: the first W are read, the last W are the targets. The last one may be shorter.
static int score_ids(cli_run *run, const cli_ids *ids, uint32_t window, score *out) {
    if (ids->n_id < 2) return cli_fail("the ids to score: expected at least 2, found %zu", ids->n_id);
    size_t n_target = ids->n_id - 1;
    size_t row_size = (size_t)run->model_info.n_vocab * sizeof(float);
    size_t piece_max = ((size_t)256 << 20) / row_size; // bounds host memory whatever the window is
    if (piece_max > window) piece_max = window;
    if (piece_max > n_target) piece_max = n_target;
    if (piece_max == 0) piece_max = 1;
    float *logits = malloc(piece_max * row_size);
    if (!logits) return cli_fail("the logits: out of host memory (%zu bytes)", piece_max * row_size);

    *out = (score){0};
    int status = CLI_OK;
    for (size_t start = 0; status == CLI_OK && start < n_target; start += window) {
        size_t n_input = n_target - start < window ? n_target - start : window;
        cli_progress("eval", start, n_target);
        status = score_window(run, ids->ids + start, n_input, logits, piece_max, out);
        if (n_target - start <= window) break; // start + window might not be a number any more
    }
    cli_progress("eval", 1, 1);
    free(logits);
    if (status) return status;
    out->loss /= (double)out->n_token;
    if (!isfinite(out->loss)) return cli_fail("the cross-entropy: expected a finite number, found %g", out->loss);
    return CLI_OK;
}

static void print_score(const cli_run *run, const score *s, uint32_t window, bool json) {
    double speed = s->time > 0 ? (double)s->n_token / s->time : 0, perplexity = exp(s->loss);
    if (!json) {
        printf("loss %.5f nats/token, perplexity %.4f, %" PRIu64 " token%s, %" PRIu64 " window%s of %" PRIu32
               ", %.1f tokens/s\n",
               s->loss, perplexity, s->n_token, s->n_token == 1 ? "" : "s", s->n_window, s->n_window == 1 ? "" : "s",
               window, speed);
        return;
    }
    printf("{\"loss\": %.9g, \"perplexity\": ", s->loss);
    if (isfinite(perplexity))
        printf("%.9g", perplexity);
    else
        printf("null");
    printf(", \"n_token\": %" PRIu64 ", \"n_window\": %" PRIu64 ", \"window\": %" PRIu32
           ", \"tokens_per_second\": %.9g, \"device\": ",
           s->n_token, s->n_window, window, speed);
    cli_json_string(run->device_info.name);
    printf(", \"driver\": ");
    cli_json_string(run->device_info.driver);
    printf("}\n");
}

int cmd_eval(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    const char *text = NULL, *source = NULL;
    uint32_t window = 512;
    bool json = false;
    const cli_option options[] = {
        CLI_MODEL_OPTION(&setup),
        {.name = "--text", .argument = "FILE", .help = "text to score, UTF-8", .type = CLI_TEXT, .value = &text},
        {.name = "--ids",
         .argument = "FILE.safetensors:TENSOR",
         .help = "token ids to score, one dimension of I32 or I64",
         .type = CLI_TEXT,
         .value = &source},
        {.name = "--window",
         .argument = "W",
         .help = "tokens read from an empty state before the next window starts (default 512)",
         .type = CLI_COUNT,
         .min = 1,
         .max = UINT32_MAX,
         .value = &window},
        {.name = "--json", .help = "print one JSON object", .type = CLI_FLAG, .value = &json},
        CLI_PRECISION_OPTIONS(&setup),
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    if (!text == !source)
        return cli_usage(command, "expected one of --text and --ids, found %s", text ? "both" : "none");
    if (source && !cli_ids_is_tensor_source(source))
        return cli_usage(command, "--ids: expected FILE.safetensors:TENSOR, found \"%s\"", source);

    cli_run run = {0};
    cli_ids ids = {0};
    score result = {0};
    status = cli_open(&setup, &run);
    if (status == CLI_OK) status = text ? cli_ids_from_file(&run, text, &ids) : cli_ids_from_tensor(&run, source, &ids);
    if (status == CLI_OK) status = score_ids(&run, &ids, window, &result);
    if (status == CLI_OK) {
        print_score(&run, &result, window, json);
        status = cli_end_output(CLI_OK);
    }
    free(ids.ids);
    return cli_close(&run, status);
}
