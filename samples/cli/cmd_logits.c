// vkssm logits: write the logits of a sequence to a file.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common.h"
#include "ids.h"

static int step_through(cli_run *run, const cli_ids *ids, float *logits) {
    for (size_t t = 0; t < ids->n_id; t++) {
        float *row = logits + t * run->model_info.n_vocab;
        if (vkssm_session_step(run->session, 1, &(uint32_t){0}, ids->ids + t, row)) return cli_library_failed(NULL);
        cli_progress("steps", t + 1, ids->n_id);
    }
    return CLI_OK;
}

static int write_logits(cli_run *run, const cli_ids *ids, bool by_step, const char *path) {
    uint32_t n_vocab = run->model_info.n_vocab;
    if (ids->n_id > SIZE_MAX / sizeof(float) / n_vocab)
        return cli_fail("%s: expected logits that fit into memory, found %zu x %u numbers", path, ids->n_id, n_vocab);
    size_t size = ids->n_id * n_vocab * sizeof(float);
    float *logits = malloc(size);
    if (!logits) return cli_fail("%s: out of host memory (%zu bytes of logits)", path, size);
    int status =
        by_step ? step_through(run, ids, logits) : cli_prefill(run, ids->ids, ids->n_id, VKSSM_LOGITS_ALL, logits);
    vkssm_named_tensor tensor = {.name = "logits",
                                 .dtype = VKSSM_DTYPE_F32,
                                 .n_dim = 2,
                                 .shape = {ids->n_id, n_vocab},
                                 .data = logits,
                                 .size = size};
    if (status == CLI_OK && vkssm_tensor_file_write(path, NULL, &tensor, 1)) status = cli_library_failed(NULL);
    free(logits);
    return status;
}

int cmd_logits(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    const char *list = NULL, *source = NULL, *text = NULL, *path = NULL;
    bool by_step = false;
    const cli_option options[] = {
        CLI_MODEL_OPTION(&setup),
        {.name = "--ids", .argument = "1,2,3", .help = "token ids to read", .type = CLI_TEXT, .value = &list},
        {.name = "--ids-file",
         .argument = "FILE.safetensors:TENSOR",
         .help = "token ids to read, one dimension of I32 or I64",
         .type = CLI_TEXT,
         .value = &source},
        {.name = "--text", .argument = "T", .help = "text to read", .type = CLI_TEXT, .value = &text},
        {.name = "--out",
         .argument = "FILE.safetensors",
         .help = "the file to write",
         .type = CLI_TEXT,
         .required = true,
         .value = &path},
        {.name = "--step",
         .help = "run token by token, by the recurrent form, instead of by prefill",
         .type = CLI_FLAG,
         .value = &by_step},
        CLI_PRECISION_OPTIONS(&setup),
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    int n_source = !!list + !!source + !!text;
    if (n_source != 1)
        return cli_usage(command, "expected one of --ids, --ids-file and --text, found %d of them", n_source);
    if (list && !cli_ids_is_list(list))
        return cli_usage(command, "--ids: expected whole numbers with commas between them, found \"%s\"", list);
    if (source && !cli_ids_is_tensor_source(source))
        return cli_usage(command, "--ids-file: expected FILE.safetensors:TENSOR, found \"%s\"", source);

    cli_run run = {0};
    cli_ids ids = {0};
    status = cli_open(&setup, &run);
    if (status == CLI_OK)
        status = list     ? cli_ids_from_list(&run, "--ids", list, &ids)
                 : source ? cli_ids_from_tensor(&run, source, &ids)
                          : cli_ids_from_text(&run, "--text", text, strlen(text), &ids);
    if (status == CLI_OK) status = write_logits(&run, &ids, by_step, path);
    free(ids.ids);
    return cli_close(&run, status);
}
