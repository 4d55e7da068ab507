#include "rollout.h"

#include <stdlib.h>
#include <string.h>

static void free_tensors(vkssm_named_tensor *tensors, uint32_t n) {
    for (uint32_t i = 0; tensors && i < n; i++)
        free((void *)tensors[i].data);
    free(tensors);
}

void cli_rollout_close(cli_rollout *r) {
    free_tensors(r->inputs, r->n_input);
    free_tensors(r->outputs, r->n_output);
    vkssm_tensors_destroy(&r->results);
    *r = (cli_rollout){0};
}

// The first two dimensions change places; of the first one only `n` entries are taken.
static bool turn(const vkssm_named_tensor *tensor, uint64_t n, vkssm_named_tensor *out) {
    uint64_t n_outer = tensor->shape[0], n_inner = tensor->shape[1], size = tensor->size / n_outer / n_inner;
    char *data = malloc((size_t)(n * n_inner * size));
    *out = *tensor;
    out->data = data;
    out->size = n * n_inner * size;
    out->shape[0] = n_inner;
    out->shape[1] = n;
    for (uint64_t i = 0; data && i < n; i++)
        for (uint64_t j = 0; j < n_inner; j++)
            memcpy(data + (j * n + i) * size, (const char *)tensor->data + (i * n_inner + j) * size, (size_t)size);
    return data != NULL;
}

static const vkssm_named_tensor *find(const char *name, const vkssm_named_tensor *tensors, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
    return NULL;
}

static int read_input(cli_rollout *r, const vkssm_tensor_info *info, const char *path,
                      const vkssm_named_tensor *tensor) {
    uint64_t more = !info->fed_back && r->predict ? r->predict - 1 : 0;
    if (!tensor) return cli_fail("%s: tensor %s expected, none found", path, info->name);
    if (tensor->n_dim < 2 || tensor->size == 0)
        return cli_fail(
            "%s: tensor %s: shape [T, n, ...], none of them 0, expected, %u dimensions and %llu bytes found", path,
            info->name, (unsigned)tensor->n_dim, (unsigned long long)tensor->size);
    uint64_t n = r->condition ? r->condition + more : tensor->shape[0];
    if (n > tensor->shape[0])
        return cli_fail("%s: tensor %s: at least %llu steps expected, %llu found", path, info->name,
                        (unsigned long long)n, (unsigned long long)tensor->shape[0]);
    if (!turn(tensor, n, &r->inputs[r->n_input])) return cli_fail("%s: out of host memory", path);
    r->n_input++;
    return CLI_OK;
}

// Outputs by time are [n, T, ...] as the inputs are; a state or a class has no time.
static int take_outputs(cli_rollout *r, const cli_run *run) {
    uint32_t n = vkssm_tensors_n_tensor(r->results);
    r->outputs = calloc(n, sizeof *r->outputs);
    if (!r->outputs) return cli_fail("out of host memory for %u outputs", (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        vkssm_named_tensor tensor;
        vkssm_tensor_info info = {.per_step = true}; // what is no output of the model is the rollout
        vkssm_tensors_get(r->results, i, &tensor);
        for (uint32_t k = 0; k < run->model_info.n_output; k++)
            if (!vkssm_model_get_output(run->model, k, &info) && strcmp(info.name, tensor.name) == 0)
                break;
            else
                info.per_step = true;
        vkssm_named_tensor *out = &r->outputs[r->n_output];
        bool ok;
        if (info.per_step) {
            ok = turn(&tensor, tensor.shape[0], out);
        } else {
            *out = tensor;
            out->data = malloc((size_t)tensor.size);
            ok = out->data != NULL;
            if (ok) memcpy((void *)out->data, tensor.data, (size_t)tensor.size);
        }
        if (!ok) return cli_fail("out of host memory for %s", tensor.name);
        r->n_output++;
    }
    return CLI_OK;
}

int cli_rollout_run(cli_run *run, const vkssm_run_params *params, const char *path, const vkssm_named_tensor *tensors,
                    uint32_t n_tensor, cli_rollout *r) {
    r->inputs = calloc(run->model_info.n_input + 1, sizeof *r->inputs);
    if (!r->inputs) return cli_fail("%s: out of host memory", path);
    for (uint32_t i = 0; i < run->model_info.n_input; i++) {
        vkssm_tensor_info info;
        if (vkssm_model_get_input(run->model, i, &info)) return cli_library_failed(NULL);
        int status = read_input(r, &info, path, find(info.name, tensors, n_tensor));
        if (status != CLI_OK) return status;
    }
    vkssm_status status = r->predict
                              ? vkssm_model_rollout(run->model, params, r->predict, r->inputs, r->n_input, &r->results)
                              : vkssm_model_run(run->model, params, r->inputs, r->n_input, &r->results);
    if (status) return cli_library_failed(path);
    return take_outputs(r, run);
}
