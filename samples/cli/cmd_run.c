// vkssm run: a model that maps tensors to tensors, on the tensors of a file.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common.h"
#include "rollout.h"

typedef struct run_options {
    const char *in, *out;
    bool layers, stream;
    uint32_t first;              // sequences to take; 0: all
    uint32_t condition, predict; // steps to read, and to predict, of files with time first; 0: all, none
} run_options;

// Everything that is held while the command runs.
typedef struct run_files {
    vkssm_tensor_file *in;
    vkssm_named_tensor *inputs;
    uint32_t n_input;
    vkssm_tensors *results;
    vkssm_stream *stream;
    cli_rollout rollout;
    vkssm_named_tensor *outputs; // to be written; of a stream with `data` allocated here
    uint32_t n_output;
} run_files;

static void close_files(run_files *files, bool streamed) {
    for (uint32_t i = 0; streamed && i < files->n_output; i++)
        free((void *)files->outputs[i].data);
    free(files->outputs);
    cli_rollout_close(&files->rollout);
    free(files->inputs);
    vkssm_stream_destroy(&files->stream);
    vkssm_tensors_destroy(&files->results);
    vkssm_tensor_file_destroy(&files->in);
}

// The tensors of the file, of which the model will take those that it knows; the first sequences of each if so asked.
static int read_inputs(const run_options *options, run_files *files) {
    if (vkssm_tensor_file_open(options->in, NULL, &files->in)) return cli_library_failed(NULL);
    files->n_input = vkssm_tensor_file_n_tensor(files->in);
    files->inputs = calloc(files->n_input + 1, sizeof *files->inputs);
    if (!files->inputs) return cli_fail("%s: out of host memory (%u tensors)", options->in, (unsigned)files->n_input);
    for (uint32_t i = 0; i < files->n_input; i++) {
        vkssm_named_tensor *tensor = &files->inputs[i];
        vkssm_tensor_file_get(files->in, i, tensor);
        if (!options->first || tensor->n_dim == 0 || tensor->shape[0] <= options->first) continue;
        tensor->size = tensor->size / tensor->shape[0] * options->first;
        tensor->shape[0] = options->first;
    }
    return CLI_OK;
}

static bool run_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    cli_progress("running", done, total);
    return true;
}

static int run_whole(cli_run *run, const run_options *options, run_files *files) {
    vkssm_run_params params = {.progress = {run_progress, NULL}, .layers = options->layers};
    if (vkssm_model_run(run->model, &params, files->inputs, files->n_input, &files->results))
        return cli_library_failed(options->in);
    files->n_output = vkssm_tensors_n_tensor(files->results);
    files->outputs = calloc(files->n_output, sizeof *files->outputs);
    if (!files->outputs) return cli_fail("%s: out of host memory", options->out);
    for (uint32_t i = 0; i < files->n_output; i++)
        vkssm_tensors_get(files->results, i, &files->outputs[i]);
    return CLI_OK;
}

static int run_rollout(cli_run *run, const run_options *options, run_files *files) {
    vkssm_run_params params = {.progress = {run_progress, NULL}, .layers = options->layers};
    files->rollout = (cli_rollout){.condition = options->condition, .predict = options->predict};
    int status = cli_rollout_run(run, &params, options->in, files->inputs, files->n_input, &files->rollout);
    if (status != CLI_OK) return status;
    if (vkssm_tensor_file_write(options->out, NULL, files->rollout.outputs, files->rollout.n_output))
        return cli_library_failed(NULL);
    return CLI_OK;
}

// ---- sample by sample -----------------------------------------------------------------------------------------------

// What a stream reads: `samples` are one time step of all sequences, put together from the file's [n, T, ...].
typedef struct samples {
    vkssm_named_tensor whole, step;
    uint64_t n, n_time, size; // size: bytes of one sample
    char *data;
} samples;

static int find_input(cli_run *run, const run_options *options, const run_files *files, samples *out) {
    vkssm_tensor_info info;
    if (vkssm_model_get_input(run->model, 0, &info)) return cli_library_failed(NULL);
    if (run->model_info.n_input != 1)
        return cli_fail("--stream: a model with one input expected, %u found", (unsigned)run->model_info.n_input);
    for (uint32_t i = 0; i < files->n_input; i++)
        if (strcmp(files->inputs[i].name, info.name) == 0) out->whole = files->inputs[i];
    if (!out->whole.name) return cli_fail("%s: tensor %s expected, none found", options->in, info.name);
    if (out->whole.n_dim < 2 || out->whole.size == 0)
        return cli_fail("%s: tensor %s: shape [n, T, ...], none of them 0, expected, %u dimensions found", options->in,
                        info.name, (unsigned)out->whole.n_dim);
    out->n = out->whole.shape[0];
    out->n_time = out->whole.shape[1];
    if (out->n > 65535)
        return cli_fail("%s: tensor %s: at most 65535 sequences expected for --stream, %llu found", options->in,
                        info.name, (unsigned long long)out->n);
    out->size = out->whole.size / out->n / out->n_time;
    out->data = malloc((size_t)(out->n * out->size));
    if (!out->data) return cli_fail("%s: out of host memory", options->in);
    out->step = out->whole;
    out->step.data = out->data;
    out->step.size = out->n * out->size;
    out->step.n_dim--;
    memmove(out->step.shape + 1, out->step.shape + 2, (out->step.n_dim - 1) * sizeof *out->step.shape);
    return CLI_OK;
}

static void take_samples(samples *s, uint64_t t) {
    for (uint64_t b = 0; b < s->n; b++)
        memcpy(s->data + b * s->size, (const char *)s->whole.data + (b * s->n_time + t) * s->size, (size_t)s->size);
}

// Places for the outputs: [n, T, ...] for what every step gives, [n, ...] for what the last one gives.
static int create_outputs(cli_run *run, const run_options *options, const samples *s, run_files *files) {
    vkssm_tensor_info info;
    files->outputs = calloc(run->model_info.n_output, sizeof *files->outputs);
    if (!files->outputs) return cli_fail("%s: out of host memory", options->out);
    for (uint32_t i = 0; i < run->model_info.n_output; i++) {
        if (vkssm_model_get_output(run->model, i, &info)) return cli_library_failed(NULL);
        if (info.layer && !options->layers) continue;
        vkssm_named_tensor *tensor = &files->outputs[files->n_output++];
        *tensor =
            (vkssm_named_tensor){.dtype = VKSSM_DTYPE_F32, .n_dim = info.per_step ? 2 : 1, .shape = {s->n, s->n_time}};
        tensor->size = sizeof(float) * s->n * (info.per_step ? s->n_time : 1);
        for (uint32_t d = 0; d < info.n_dim; d++) {
            tensor->shape[tensor->n_dim++] = info.shape[d];
            tensor->size *= info.shape[d];
        }
        tensor->data = malloc((size_t)tensor->size);
        if (!tensor->data)
            return cli_fail("%s: out of host memory (%llu bytes)", options->out, (unsigned long long)tensor->size);
    }
    return CLI_OK;
}

static void keep_outputs(run_files *files, const vkssm_named_tensor *given, const samples *s, uint64_t t) {
    for (uint32_t i = 0; i < files->n_output; i++) {
        vkssm_named_tensor *tensor = &files->outputs[i];
        tensor->name = given[i].name;
        bool per_step = tensor->n_dim > given[i].n_dim;
        size_t size = (size_t)(given[i].size / s->n);
        for (uint64_t b = 0; b < s->n; b++)
            memcpy((char *)tensor->data + (per_step ? b * s->n_time + t : b) * size,
                   (const char *)given[i].data + b * size, size);
    }
}

static int run_stream(cli_run *run, const run_options *options, run_files *files) {
    samples s = {0};
    int status = find_input(run, options, files, &s);
    if (status == CLI_OK) status = create_outputs(run, options, &s, files);
    vkssm_stream_params params = {.n_slot = (uint32_t)s.n, .layers = options->layers};
    if (status == CLI_OK && vkssm_stream_create(run->model, &params, &files->stream)) status = cli_library_failed(NULL);
    for (uint64_t t = 0; status == CLI_OK && t < s.n_time; t++) {
        const vkssm_named_tensor *given;
        take_samples(&s, t);
        if (vkssm_stream_step(files->stream, &s.step, 1, &given, NULL)) {
            status = cli_library_failed(options->in);
            break;
        }
        keep_outputs(files, given, &s, t);
        cli_progress("running", t + 1, s.n_time);
    }
    free(s.data);
    return status;
}

int cmd_run(const cli_command *command, int argc, char **argv) {
    cli_setup setup = {0};
    run_options o = {0};
    const cli_option options[] = {
        CLI_MODEL_OPTION(&setup),
        {.name = "--in",
         .argument = "FILE.safetensors",
         .help = "the model's inputs; other tensors in the file are ignored",
         .type = CLI_TEXT,
         .required = true,
         .value = &o.in},
        {.name = "--out",
         .argument = "FILE.safetensors",
         .help = "the file to write",
         .type = CLI_TEXT,
         .required = true,
         .value = &o.out},
        {.name = "--first",
         .argument = "N",
         .help = "take the first N sequences only",
         .type = CLI_COUNT,
         .min = 1,
         .max = 4294967295.0,
         .value = &o.first},
        {.name = "--condition",
         .argument = "N",
         .help = "inputs are [T, n, ...]: read the first N steps",
         .type = CLI_COUNT,
         .min = 1,
         .max = 4294967295.0,
         .value = &o.condition},
        {.name = "--predict",
         .argument = "N",
         .help =
             "inputs are [T, n, ...]: predict N steps, from the last input's output on, which the model reads itself",
         .type = CLI_COUNT,
         .min = 1,
         .max = 16777216,
         .value = &o.predict},
        {.name = "--layers", .help = "write the layers' outputs too", .type = CLI_FLAG, .value = &o.layers},
        {.name = "--stream",
         .help = "run sample by sample, by the recurrent form",
         .type = CLI_FLAG,
         .value = &o.stream},
        CLI_PRECISION_OPTIONS(&setup),
        CLI_DEVICE_OPTIONS(&setup),
        {0},
    };
    int status = cli_parse(command, options, argc, argv);
    if (status != CLI_GO_ON) return status;
    bool time_first = o.condition || o.predict;
    if (time_first && o.stream) return cli_usage(command, "--stream does not go with --condition and --predict");
    if (time_first && o.first) return cli_usage(command, "--first does not go with --condition and --predict");

    cli_run run = {0};
    run_files files = {0};
    status = cli_open_model(&setup, &run);
    if (status == CLI_OK) status = read_inputs(&o, &files);
    if (status == CLI_OK && time_first) {
        status = run_rollout(&run, &o, &files);
        close_files(&files, false);
        return cli_close(&run, status);
    }
    if (status == CLI_OK) status = o.stream ? run_stream(&run, &o, &files) : run_whole(&run, &o, &files);
    if (status == CLI_OK && vkssm_tensor_file_write(o.out, NULL, files.outputs, files.n_output))
        status = cli_library_failed(NULL);
    close_files(&files, o.stream);
    return cli_close(&run, status);
}
