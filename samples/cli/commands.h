// The commands; each lives in a file of its name.
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "args.h"

int cmd_info(const cli_command *command, int argc, char **argv);
int cmd_generate(const cli_command *command, int argc, char **argv);
int cmd_eval(const cli_command *command, int argc, char **argv);
int cmd_logits(const cli_command *command, int argc, char **argv);
int cmd_bench(const cli_command *command, int argc, char **argv);
int cmd_quantize(const cli_command *command, int argc, char **argv);
int cmd_run(const cli_command *command, int argc, char **argv);

#endif
