// What a variant of a kernel may take of a GPU of some family: recorded in budgets/<family>.txt, one line a variant and
// subgroup size, and checked against what the compiler tells.
//
//   mesa 22.3 25.0                          the versions whose compilers were recorded
//   matmul_tiled 32 72 0 4352               variant, subgroup size, registers, spills, bytes of shared memory
//
// Each number is the largest over the variant's pipelines and over those versions. Registers are vector registers of
// AMD, rounded up to a multiple of 8 as they are handed out; Intel's driver tells of none, and has -1 there. Spills are
// spilled vector registers (AMD), or instructions that spill (Intel).
#ifndef BUDGET_H
#define BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct budget {
    char variant[48];
    uint32_t subgroup_size;
    long registers, spills, shared; // -1: the driver does not tell
} budget;

typedef struct budget_file {
    char path[512], versions[128];
    budget *lines, *found; // allowed; seen in this run
    size_t n_line, n_found, line_capacity, found_capacity;
} budget_file;

// What a driver's statistics (vks_pipeline_statistics) say.
budget budget_of(const char *statistics);
// A file that is not there is an empty one. False after printing what is wrong with it.
bool budget_read(const char *folder, const char *family, budget_file *file);
// Count a pipeline in; whether it is the first of its variant.
bool budget_count(budget_file *file, const budget *found);
// Print what is above its budget and which lines are missing; how many. Of a compiler that was not recorded only spills
// are held against the budget: it may well hand out registers in another way.
int budget_check(const budget_file *file, const char *driver);
void budget_free(budget_file *file);

#endif
