#include "ids.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(const char *what) {
    return cli_fail("%s: out of host memory", what);
}

// Allocate room for `n_id` ids. `what` names their source.
static int allocate_ids(const char *what, uint64_t n_id, cli_ids *out) {
    *out = (cli_ids){0};
    if (n_id == 0) return cli_fail("%s: expected at least one token, found none", what);
    if (n_id <= SIZE_MAX / sizeof *out->ids) out->ids = malloc((size_t)n_id * sizeof *out->ids);
    if (!out->ids) return out_of_memory(what);
    out->n_id = (size_t)n_id;
    return CLI_OK;
}

// Store id `index`, or say that it is not in the vocabulary and release all.
static int set_id(const cli_run *run, const char *what, cli_ids *ids, size_t index, int64_t id) {
    if (id >= 0 && id < (int64_t)run->model_info.n_vocab && id <= INT32_MAX) {
        ids->ids[index] = (int32_t)id;
        return CLI_OK;
    }
    free(ids->ids);
    *ids = (cli_ids){0};
    return cli_fail("%s: expected ids from 0 to %" PRIu32 " (the model's vocabulary), found %" PRId64
                    " at position %zu",
                    what, run->model_info.n_vocab - 1, id, index);
}

int cli_ids_from_text(cli_run *run, const char *option, const char *text, size_t text_size, cli_ids *out) {
    *out = (cli_ids){0};
    const vkssm_tokenizer *tokenizer = vkssm_model_get_tokenizer(run->model);
    if (!tokenizer)
        return cli_fail("%s: expected a model with a tokenizer.json, found none beside the weights", option);
    int32_t *encoded = NULL;
    size_t n_id = 0;
    if (vkssm_tokenizer_encode(tokenizer, text, text_size, vkssm_tokenizer_adds_bos(tokenizer), true, &encoded, &n_id))
        return cli_library_failed(option);
    int status = allocate_ids(option, n_id, out);
    for (size_t i = 0; status == CLI_OK && i < n_id; i++)
        status = set_id(run, option, out, i, encoded[i]);
    vkssm_free(encoded);
    return status;
}

// The whole of a file, allocated.
static int read_file(const char *path, char **out, size_t *out_size) {
    FILE *file = fopen(path, "rb");
    if (!file) return cli_fail("%s: cannot open the file: %s", path, strerror(errno));
    char *text = NULL;
    size_t size = 0, capacity = 0;
    bool enough = true;
    for (;;) {
        if (size == capacity) {
            size_t wanted = capacity ? 2 * capacity : 1 << 16;
            char *larger = wanted > capacity ? realloc(text, wanted) : NULL;
            enough = larger != NULL;
            if (!enough) break;
            text = larger;
            capacity = wanted;
        }
        size_t n = fread(text + size, 1, capacity - size, file);
        if (n == 0) break;
        size += n;
    }
    int error = ferror(file) ? errno : 0;
    fclose(file);
    if (enough && !error) {
        *out = text;
        *out_size = size;
        return CLI_OK;
    }
    free(text);
    return error ? cli_fail("%s: cannot read the file: %s", path, strerror(error)) : out_of_memory(path);
}

int cli_ids_from_file(cli_run *run, const char *path, cli_ids *out) {
    char *text = NULL;
    size_t text_size = 0;
    *out = (cli_ids){0};
    if (read_file(path, &text, &text_size)) return CLI_FAILED;
    int status = cli_ids_from_text(run, path, text, text_size, out);
    free(text);
    return status;
}

// The colon between file and tensor: behind the file's ending, as both names may hold colons, else the last one.
static const char *source_colon(const char *source) {
    const char *ending = strstr(source, ".safetensors:");
    return ending ? strchr(ending, ':') : strrchr(source, ':');
}

bool cli_ids_is_tensor_source(const char *source) {
    const char *colon = source_colon(source);
    return colon && colon > source && colon[1];
}

static void format_shape(const vkssm_named_tensor *tensor, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < tensor->n_dim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i ? ", " : "", tensor->shape[i]);
    if (used < size) snprintf(text + used, size - used, "]");
}

static int64_t element(const vkssm_named_tensor *tensor, size_t index) {
    size_t n_byte = tensor->dtype == VKSSM_DTYPE_I64 ? 8 : 4;
    const unsigned char *bytes = (const unsigned char *)tensor->data + index * n_byte;
    uint64_t value = 0;
    for (size_t i = n_byte; i-- > 0;)
        value = value << 8 | bytes[i];
    if (n_byte == 4 && value >> 31) value |= UINT64_C(0xffffffff) << 32;
    int64_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}

static int ids_from_tensor(cli_run *run, const char *source, const vkssm_named_tensor *tensor, cli_ids *out) {
    if ((tensor->dtype != VKSSM_DTYPE_I32 && tensor->dtype != VKSSM_DTYPE_I64) || tensor->n_dim != 1) {
        char shape[VKSSM_MAX_DIM * 24];
        format_shape(tensor, shape, sizeof shape);
        return cli_fail("%s: expected I32 or I64 in one dimension, found %s %s", source,
                        vkssm_dtype_name(tensor->dtype), shape);
    }
    int status = allocate_ids(source, tensor->shape[0], out);
    for (size_t i = 0; status == CLI_OK && i < out->n_id; i++)
        status = set_id(run, source, out, i, element(tensor, i));
    return status;
}

int cli_ids_from_tensor(cli_run *run, const char *source, cli_ids *out) {
    *out = (cli_ids){0};
    const char *colon = source_colon(source);
    size_t path_size = (size_t)(colon - source);
    char *path = malloc(path_size + 1);
    if (!path) return out_of_memory(source);
    memcpy(path, source, path_size);
    path[path_size] = 0;

    vkssm_tensor_file *file = NULL;
    vkssm_named_tensor tensor;
    int status;
    if (vkssm_tensor_file_open(path, NULL, &file)) {
        status = cli_library_failed(NULL);
    } else if (!vkssm_tensor_file_find(file, colon + 1, &tensor)) {
        status = cli_fail("%s: expected a tensor \"%s\", found %" PRIu32 " tensors of other names", path, colon + 1,
                          vkssm_tensor_file_n_tensor(file));
    } else {
        status = ids_from_tensor(run, source, &tensor, out);
    }
    vkssm_tensor_file_destroy(&file);
    free(path);
    return status;
}

// The id at *text, which moves behind it; false if there is none. Numbers too large for any vocabulary stay too large.
static bool read_id(const char **text, int64_t *id) {
    if (!isdigit((unsigned char)**text) && !(**text == '-' && isdigit((unsigned char)(*text)[1]))) return false;
    char *end;
    *id = strtoll(*text, &end, 10); // saturates
    *text = end;
    return true;
}

static bool next_id(const char **text) {
    if (**text != ',') return false;
    ++*text;
    return true;
}

bool cli_ids_is_list(const char *list) {
    int64_t id;
    do {
        if (!read_id(&list, &id)) return false;
    } while (next_id(&list));
    return *list == 0;
}

int cli_ids_from_list(cli_run *run, const char *option, const char *list, cli_ids *out) {
    size_t n_id = 1;
    for (const char *c = list; *c; c++)
        n_id += *c == ',';
    int status = allocate_ids(option, n_id, out);
    for (size_t i = 0; status == CLI_OK && i < n_id; i++) {
        int64_t id = -1;
        read_id(&list, &id);
        next_id(&list);
        status = set_id(run, option, out, i, id);
    }
    return status;
}
