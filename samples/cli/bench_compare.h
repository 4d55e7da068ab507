// Two runs of the benchmark, case by case.
//
// A median of n samples is off by 1.25 sigma / sqrt(n) (of a normal distribution, whose quartiles are 1.35 sigma
// apart); and while the samples were taken the machine's speed moved, which more samples do not average out: half the
// range of the medians of the four quarters of a run stands for that. What moves between runs (other programs, heat) a
// run cannot tell of itself: a file may hold several runs, one behind the other; of a case in several of them half the
// range of their medians is added. A case has changed if its two medians are further apart than three times all of
// these together (root of the sum of squares), and by at least one in a hundred.
#ifndef CLI_BENCH_COMPARE_H
#define CLI_BENCH_COMPARE_H

#include <stddef.h>
#include <vkssm/vkssm.h>

typedef enum bench_verdict { BENCH_SAME, BENCH_FASTER, BENCH_SLOWER } bench_verdict;

// What a comparison needs to know of a measured case.
typedef struct bench_record {
    char *name;
    double median_ns, spread, quarter_ns[4]; // of several runs: in the middle of their medians; the last one's
    double least_ns, most_ns;                // medians of several runs
    double n_sample;
    char *device; // with its driver
} bench_record;

typedef struct bench_records {
    bench_record *items;
    size_t n, capacity;
} bench_records;

// The cases of a file of JSON lines, as `vkssm bench --json` prints them; those that were skipped are left out, and a
// name that stands there twice is one record of several runs. CLI_OK, or CLI_FAILED after one line that names file and
// line.
int bench_read(const char *path, bench_records *out);
// A case as it was measured. False: out of memory.
bool bench_add(bench_records *records, const vkssm_bench_result *result, const vkssm_device_info *info);
void bench_free(bench_records *records);

// How far off a median may be, as a part of it: one standard deviation.
double bench_uncertainty(const bench_record *record);
bench_verdict bench_compare(const bench_record *before, const bench_record *now);

// Print the table. CLI_OK; CLI_FAILED, with a line said, if cases got slower or none is in both.
int bench_print_comparison(const char *path, const bench_records *before, const bench_records *now);

#endif
