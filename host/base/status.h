// Failure and log messages of the whole library.
#ifndef VKS_STATUS_H
#define VKS_STATUS_H

#include <vkssm/base.h>

#if defined(__GNUC__)
#define VKS_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define VKS_PRINTF(format_index, first_index)
#endif

// Record a failure: keep the message for this thread, send it to the log (may be NULL), return `status`.
// The message is one line, without newline, that says object, expectation and finding.
vkssm_status vks_fail(const vkssm_log *log, vkssm_status status, const char *format, ...) VKS_PRINTF(3, 4);

// Send a message to the log, if its level is wanted.
void vks_log(const vkssm_log *log, vkssm_log_level level, const char *format, ...) VKS_PRINTF(3, 4);

// Return from the calling function if `expr` did not succeed (the callee has recorded the message).
#define VKS_TRY(expr)                                                                                                       \
    do {                                                                                                                    \
        vkssm_status vks_try_status_ = (expr);                                                                              \
        if (vks_try_status_ != VKSSM_OK) return vks_try_status_;                                                            \
    } while (0)

// The same, but go to the function's clean-up label; needs a variable `status`.
#define VKS_TRY_GOTO(expr, label)                                                                                           \
    do {                                                                                                                    \
        status = (expr);                                                                                                    \
        if (status != VKSSM_OK) goto label;                                                                                 \
    } while (0)

#endif
