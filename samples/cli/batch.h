// Many prompts at once, for vkssm generate --batch.
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include "common.h"

// The lines of a file: each is a prompt. CLI_OK, or CLI_FAILED with a line said.
typedef struct cli_prompts {
    char *text; // of the whole file, lines ended by zeros
    char **lines;
    size_t n_line;
} cli_prompts;
int cli_prompts_read(const char *path, cli_prompts *out);
void cli_prompts_free(cli_prompts *prompts);

// Continue each, as many at a time as the session has slots, and print prompt and continuation in the order of the
// prompts, with a line "---" between two. params: without on_token, user and stop tokens.
int cli_batch_run(cli_run *run, const cli_prompts *prompts, uint32_t n_slot, const vkssm_generate_params *params);

// The ids that end a text, n_stop_token of them; at most 2.
uint32_t cli_stop_tokens(const cli_run *run, int32_t *tokens);

#endif
