// vkssm: structured state-space models on the command line. This file only chooses the command.
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "common.h"

static const cli_command commands[] = {
    {"info", "[--json] [options]", "Print the Vulkan devices, their capabilities, and the kernel variants in use.",
     cmd_info},
    {"generate", "--model DIR|FILE --prompt TEXT [options]", "Continue a text with a language model.", cmd_generate},
    {"eval", "--model DIR|FILE (--text FILE | --ids FILE.safetensors:TENSOR) [options]",
     "Print a language model's mean cross-entropy (nats per token) and perplexity.", cmd_eval},
    {"logits",
     "--model DIR|FILE (--ids 1,2,3 | --ids-file FILE.safetensors:TENSOR | --text T) --out FILE.safetensors [options]",
     "Write a language model's logits to a file, as tensor \"logits\", [T, V] float32.", cmd_logits},
    {"run", "--model DIR --in FILE.safetensors --out FILE.safetensors [options]",
     "Run a model that maps tensors to tensors, such as S5, on the tensors of a file.", cmd_run},
    {"quantize", "--model DIR|FILE --type TYPE --out FILE.gguf [options]",
     "Write a language model's weights in fewer bits, as a GGUF file.", cmd_quantize},
    {"bench", "[--ops PATTERN] [--models PATTERN] [--json] [--list] [options]",
     "Measure operators and whole models on made-up data, and what the device can do at best.", cmd_bench},
};
enum { N_COMMAND = sizeof commands / sizeof *commands };

static int print_help(void) {
    printf("usage: vkssm COMMAND [options]\n\nStructured state-space models on any Vulkan GPU.\n\ncommands:\n");
    for (int i = 0; i < N_COMMAND; i++)
        printf("  %-10s%s\n", commands[i].name, commands[i].summary);
    printf("\noptions:\n  --help    print this text; after a command, the options of that command\n"
           "  --version print the version\n\n"
           "exit status: 0, 1 for a failure that is explained in one line on stderr, 2 for wrong usage\n");
    return cli_end_output(CLI_OK);
}

static int print_version(void) {
    printf("vkssm, API version %u\n", (unsigned)vkssm_api_version());
    return cli_end_output(CLI_OK);
}

static int wrong_usage(const char *finding, const char *word) {
    cli_error("expected a command (info, generate, eval, logits, run, quantize or bench), found %s%s; see vkssm --help",
              finding, word);
    return CLI_USAGE;
}

int main(int argc, char **argv) {
    if (argc < 2) return wrong_usage("nothing", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return print_help();
    if (strcmp(argv[1], "--version") == 0) return print_version();
    for (int i = 0; i < N_COMMAND; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(&commands[i], argc - 1, argv + 1);
    return wrong_usage("", argv[1]);
}
