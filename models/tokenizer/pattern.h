// Patterns of tokenizer files (Oniguruma's Ruby syntax, which their writers test with), matched by PCRE2.
#ifndef VKS_PATTERN_H
#define VKS_PATTERN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "host/base/status.h"

// Settings that all patterns of one tokenizer share; read-only once created.
typedef struct vks_pattern_env {
    pcre2_general_context *general; // memory through vks_alloc
    pcre2_compile_context *compile;
    pcre2_match_context *match; // with limits, so that a hostile pattern ends in an error
} vks_pattern_env;

bool vks_pattern_env_init(vks_pattern_env *env); // false: out of memory
void vks_pattern_env_finish(vks_pattern_env *env);

// Compile `size` bytes of UTF-8, as a pattern or as literal text. `name` stands for the component in messages.
// Errors: ERR_UNSUPPORTED (syntax that the two engines read differently, or that PCRE2 refuses), ERR_OOM_HOST.
vkssm_status vks_pattern_compile(const vks_pattern_env *env, const char *name, const char *pattern, size_t size,
                                 bool literal, const vkssm_log *log, pcre2_code **out);

#endif
