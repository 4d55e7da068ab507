// A minimal test harness: named cases, checks that print what they found, exit status 0 (passed), 1 (failed) or 77 (skipped).
//
//   CHECK_CASE(adds) { CHECK(1 + 1 == 2); CHECK_EQ(add(1, 1), 2); }
//   int main(int argc, char **argv) { return check_main(argc, argv, (check_case[]){CHECK_RUN(adds), {0}}); }
//
// A program runs all of its cases, or those whose name contains its first argument.
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Whether the address sanitizer is on. It watches the host's side, and devices on the CPU are slow under it.
#if defined(__SANITIZE_ADDRESS__)
#define CHECK_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECK_SANITIZED true
#endif
#endif
#ifndef CHECK_SANITIZED
#define CHECK_SANITIZED false
#endif

typedef struct check_case {
    const char *name;
    void (*run)(void);
} check_case;

static int check_n_failed, check_n_checked;
static const char *check_skip_reason; // set by CHECK_SKIP; cleared before each case

#define CHECK_CASE(name) static void check_case_##name(void)
#define CHECK_RUN(name) {#name, check_case_##name}

#define CHECK_FAIL(...)                                                                                                     \
    do {                                                                                                                    \
        check_n_failed++;                                                                                                   \
        printf("  %s:%d: ", __FILE__, __LINE__);                                                                            \
        printf(__VA_ARGS__);                                                                                                \
        printf("\n");                                                                                                       \
    } while (0)

#define CHECK(condition)                                                                                                    \
    do {                                                                                                                    \
        check_n_checked++;                                                                                                  \
        if (!(condition)) CHECK_FAIL("expected %s", #condition);                                                            \
    } while (0)

#define CHECK_EQ(found, wanted)                                                                                             \
    do {                                                                                                                    \
        long long check_found = (long long)(found), check_wanted = (long long)(wanted);                                     \
        check_n_checked++;                                                                                                  \
        if (check_found != check_wanted) CHECK_FAIL("%s is %lld, expected %lld", #found, check_found, check_wanted);        \
    } while (0)

#define CHECK_STR(found, wanted)                                                                                            \
    do {                                                                                                                    \
        const char *check_found = (found), *check_wanted = (wanted);                                                        \
        check_n_checked++;                                                                                                  \
        if (!check_found || strcmp(check_found, check_wanted) != 0)                                                         \
            CHECK_FAIL("%s is \"%s\", expected \"%s\"", #found, check_found ? check_found : "(null)", check_wanted);        \
    } while (0)

// The text must contain the part: for messages.
#define CHECK_CONTAINS(found, part)                                                                                         \
    do {                                                                                                                    \
        const char *check_found = (found), *check_part = (part);                                                            \
        check_n_checked++;                                                                                                  \
        if (!strstr(check_found, check_part)) CHECK_FAIL("%s is \"%s\", without \"%s\"", #found, check_found, check_part);  \
    } while (0)

#define CHECK_NEAR(found, wanted, tolerance)                                                                                \
    do {                                                                                                                    \
        double check_found = (found), check_wanted = (wanted);                                                              \
        check_n_checked++;                                                                                                  \
        double check_gap = check_found > check_wanted ? check_found - check_wanted : check_wanted - check_found;            \
        if (!(check_gap <= (tolerance))) /* a NaN fails too */                                                              \
            CHECK_FAIL("%s is %.9g, expected %.9g within %g", #found, check_found, check_wanted, (double)(tolerance));      \
    } while (0)

#define CHECK_SKIP(reason)                                                                                                  \
    do {                                                                                                                    \
        check_skip_reason = (reason);                                                                                       \
        return;                                                                                                             \
    } while (0)

// A repeatable generator for test data (splitmix64).
static inline uint64_t check_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
// Uniform in [low, high).
static inline float check_uniform(uint64_t *state, float low, float high) {
    return low + (high - low) * (float)(check_random(state) >> 40) * 0x1p-24f;
}

static inline int check_main(int argc, char **argv, const check_case *cases) {
    int n_run = 0, n_skipped = 0, n_bad = 0;
    for (; cases->name; cases++) {
        if (argc > 1 && !strstr(cases->name, argv[1])) continue;
        int failed_before = check_n_failed, checked_before = check_n_checked;
        check_skip_reason = NULL;
        cases->run();
        n_run++;
        bool empty = check_n_checked == checked_before && !check_skip_reason;
        if (empty) CHECK_FAIL("%s checked nothing", cases->name);
        if (check_skip_reason) n_skipped++;
        bool bad = check_n_failed != failed_before;
        n_bad += bad;
        printf("%s %s%s%s\n", bad ? "FAIL" : check_skip_reason ? "skip" : "ok  ", cases->name,
               check_skip_reason ? ": " : "", check_skip_reason ? check_skip_reason : "");
        fflush(stdout);
    }
    printf("%d cases, %d failed, %d skipped, %d checks\n", n_run, n_bad, n_skipped, check_n_checked);
    if (n_run == 0) return 1;
    return n_bad ? 1 : n_skipped == n_run ? 77 : 0;
}

#endif
