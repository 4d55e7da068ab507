// Token ids from the command line, from text, or from a tensor in a file.
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include "common.h"

typedef struct cli_ids {
    int32_t *ids; // [n_id], each in the vocabulary of the run's model; release with free
    size_t n_id;
} cli_ids;

// All return CLI_OK, or an exit status with a line said and nothing allocated. `option` names the source in messages.

// Text in UTF-8, behind the begin token if the tokenizer puts one there; special tokens in the text count as such.
int cli_ids_from_text(cli_run *run, const char *option, const char *text, size_t text_size, cli_ids *out);
// The same for the contents of a file.
int cli_ids_from_file(cli_run *run, const char *path, cli_ids *out);
// "FILE.safetensors:TENSOR", a tensor [n_id] of I32 or I64.
int cli_ids_from_tensor(cli_run *run, const char *source, cli_ids *out);
// "1,2,3".
int cli_ids_from_list(cli_run *run, const char *option, const char *list, cli_ids *out);

// Whether a source has the form that cli_ids_from_tensor or cli_ids_from_list expects: to be asked before anything is
// opened, because another form is wrong usage.
bool cli_ids_is_tensor_source(const char *source);
bool cli_ids_is_list(const char *list);

#endif
