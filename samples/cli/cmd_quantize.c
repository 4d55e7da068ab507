// vkssm quantize: a model's weights in fewer bits, as a GGUF file.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common.h"

// What became of the tensors: layers that fared alike share a line.
typedef struct row {
    char name[64]; // with N in place of the layer
    char shape[48];
    vkssm_dtype from, to;
    uint32_t n_tensor;
    uint64_t size;
    double error; // the largest
} row;

typedef struct table {
    row *rows;
    size_t n, capacity;
    uint64_t size;
    bool failed;
} table;

static void name_row(const vkssm_quantized_tensor *tensor, row *out) {
    size_t at = 0;
    const char *name = tensor->name;
    if (strncmp(name, "blk.", 4) == 0) {
        at = (size_t)snprintf(out->name, sizeof out->name, "blk.N");
        name += 4 + strspn(name + 4, "0123456789");
    }
    snprintf(out->name + at, sizeof out->name - at, "%s", name);
    at = 0;
    for (uint32_t i = 0; i < tensor->n_dim && at < sizeof out->shape; i++)
        at += (size_t)snprintf(out->shape + at, sizeof out->shape - at, "%s%llu", i ? " x " : "",
                               (unsigned long long)tensor->shape[i]);
}

static void add_tensor(void *user, const vkssm_quantized_tensor *tensor) {
    table *t = user;
    row new = {.from = tensor->from, .to = tensor->to};
    name_row(tensor, &new);
    t->size += tensor->size;
    size_t i = 0;
    while (i < t->n &&
           (strcmp(t->rows[i].name, new.name) != 0 || t->rows[i].to != new.to || t->rows[i].from != new.from))
        i++;
    if (i == t->n) {
        if (t->n == t->capacity) {
            row *rows = realloc(t->rows, (2 * t->n + 16) * sizeof *rows);
            t->failed = t->failed || !rows;
            if (!rows) return;
            t->rows = rows;
            t->capacity = 2 * t->n + 16;
        }
        t->rows[t->n++] = new;
    }
    row *r = &t->rows[i];
    r->n_tensor++;
    r->size += tensor->size;
    if (tensor->error > r->error) r->error = tensor->error;
}

static bool show_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    cli_progress("quantizing", done, total);
    return true;
}

static void print_table(const table *t) {
    printf("%-26s %7s  %-16s %-5s %-5s %10s %9s\n", "tensor", "times", "shape", "from", "to", "MiB", "error");
    for (size_t i = 0; i < t->n; i++) {
        const row *r = &t->rows[i];
        printf("%-26s %7u  %-16s %-5s %-5s %10.3f %8.3f%%\n", r->name, (unsigned)r->n_tensor, r->shape,
               vkssm_dtype_name(r->from), vkssm_dtype_name(r->to), (double)r->size / 1048576, 100 * r->error);
    }
}

int cmd_quantize(const cli_command *command, int argc, char **argv) {
    const char *model = NULL, *overrides = NULL, *out = NULL;
    cli_dtype type = {0}, tables = {0};
    const cli_option options[] = {
        {.name = "--model",
         .argument = "DIR|FILE",
         .help = "the model, in safetensors",
         .type = CLI_TEXT,
         .required = true,
         .value = &model},
        {.name = "--type",
         .argument = "TYPE",
         .help = "of the projections: f32, f16, q8_0, q4_0, q4_k or q6_k",
         .type = CLI_STORAGE,
         .required = true,
         .value = &type},
        {.name = "--out",
         .argument = "FILE.gguf",
         .help = "the file to write",
         .type = CLI_TEXT,
         .required = true,
         .value = &out},
        {.name = "--tables",
         .argument = "TYPE",
         .help = "of embedding and head (default: f16 with q8_0, q8_0 with fewer bits)",
         .type = CLI_STORAGE,
         .value = &tables},
        {.name = "--override",
         .argument = "PATTERN=TYPE[,...]",
         .help = "the type of matrices by name, such as 'blk.0.*=f16'",
         .type = CLI_TEXT,
         .value = &overrides},
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    table t = {0};
    const vkssm_quantize_params params = {.type = type.dtype,
                                          .table_type = tables.dtype,
                                          .convert_tables = tables.given,
                                          .overrides = overrides,
                                          .progress = {show_progress, NULL},
                                          .on_tensor = add_tensor,
                                          .user = &t};
    vkssm_status result = vkssm_quantize(model, out, &params, NULL);
    cli_progress("quantizing", 1, 1);
    if (result != VKSSM_OK) {
        free(t.rows);
        return cli_library_failed(NULL);
    }
    if (t.failed)
        cli_error("%s: out of memory for the table; the file is whole", out);
    else
        print_table(&t);
    printf("%s: %.2f MiB of weights\n", out, (double)t.size / 1048576);
    free(t.rows);
    return cli_end_output(CLI_OK);
}
