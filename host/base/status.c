#include "status.h"

#include <stdarg.h>
#include <stdio.h>

#if defined(_MSC_VER)
#define VKS_THREAD_LOCAL __declspec(thread)
#else
#define VKS_THREAD_LOCAL _Thread_local
#endif

static VKS_THREAD_LOCAL char last_error[1024];

const char *vkssm_status_text(vkssm_status status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                                      \
    case VKSSM_##name: return text;
        VKSSM_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *vkssm_last_error(void) {
    return last_error;
}

uint32_t vkssm_api_version(void) {
    return VKSSM_API_VERSION;
}

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
const char *vkssm_version(void) {
    return "0." TEXT(VKSSM_API_VERSION) "." TEXT(VKSSM_PATCH_VERSION);
}

// Messages quote names from files: keep them on one line and printable whatever the file holds.
static void keep_one_line(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
}

vkssm_status vks_fail(const vkssm_log *log, vkssm_status status, const char *format, ...) {
    // Formatted aside first: an argument may be last_error itself.
    char text[sizeof last_error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_one_line(text);
    for (size_t i = 0; i < sizeof text; i++) {
        last_error[i] = text[i];
        if (!text[i]) break;
    }
    if (log && log->callback) log->callback(log->user, VKSSM_LOG_ERROR, last_error);
    return status;
}

void vks_log(const vkssm_log *log, vkssm_log_level level, const char *format, ...) {
    if (!log || !log->callback || level > log->max_level) return;
    char text[sizeof last_error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_one_line(text);
    log->callback(log->user, level, text);
}
