// vkssm info --check: a table of the kernel variants of a device and what they computed, to paste into a report.
#ifndef CLI_KERNEL_CHECK_H
#define CLI_KERNEL_CHECK_H

#include "common.h"

// CLI_OK; CLI_FAILED, with one line said, if a variant computed something wrong or the check could not end.
// only: cases whose names begin so, or NULL.
int cli_check_kernels(const cli_run *run, const char *only);

#endif
