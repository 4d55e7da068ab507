// Models that are installed with the command.
#ifndef CLI_DATA_H
#define CLI_DATA_H

#include <stddef.h>

// `name` as it is, if there is such a file or folder or if it is no plain name; else the folder
// ../share/vkssm/models/<name> beside the command, if it is there. text: where that is put together.
const char *cli_find_model(const char *name, char *text, size_t size);

#endif
