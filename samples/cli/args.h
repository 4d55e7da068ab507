// One option parser for all commands: typed options in a table, from which the help text is made too.
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <vkssm/vkssm.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; // exit statuses
enum { CLI_GO_ON = -1 };                            // from cli_parse: not an exit status, the command may run

typedef enum cli_option_type {
    CLI_FLAG,     // bool
    CLI_TEXT,     // const char *
    CLI_COUNT,    // uint32_t from min to max
    CLI_SEED,     // uint64_t
    CLI_REAL,     // double, finite, from min to max
    CLI_DTYPE,    // cli_dtype: f32, f16 or bf16
    CLI_STORAGE,  // cli_dtype: of matrices, so block types too
    CLI_FEATURES, // uint32_t of vkssm_feature bits, from names with commas between them
} cli_option_type;

typedef struct cli_dtype {
    bool given;
    vkssm_dtype dtype;
} cli_dtype;

typedef struct cli_option {
    const char *name;     // with its dashes; NULL ends a table
    const char *argument; // as the help text calls it; NULL for a flag
    const char *help;
    cli_option_type type;
    bool required;
    bool above_min;  // the value must be larger than min, not equal to it
    double min, max; // CLI_COUNT and CLI_REAL
    void *value;     // of the type that `type` says; untouched, so that a default stays, if the option is not given
} cli_option;

typedef struct cli_command {
    const char *name;
    const char *synopsis; // what follows the name in the usage line
    const char *summary;
    int (*run)(const struct cli_command *command, int argc, char **argv); // argv[0] is the command's name
} cli_command;

// Read the options of a command. CLI_GO_ON, or the exit status: CLI_OK after --help, CLI_USAGE after a wrong option.
int cli_parse(const cli_command *command, const cli_option *options, int argc, char **argv);

// Wrong usage that a table cannot express: one line on stderr. Returns CLI_USAGE.
int cli_usage(const cli_command *command, const char *format, ...);

#endif
