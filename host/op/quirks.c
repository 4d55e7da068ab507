// Devices whose drivers do a kernel variant wrong, or so slowly that nobody wants it: the one place for them. A row
// here is a last resort, for what a capability or a trait does not tell. Its reason is printed by vkssm info; say what
// goes wrong, how it was found (vkssm info --check prints a table to compare with), and with which driver.
#include "kernel.h"

#include <string.h>

static const vks_quirk quirks[] = {
    {0}, // the last row: none is known
};

static bool is_part(const char *part, const char *text) {
    return !part || strstr(text, part);
}

bool vks_variant_matches(const char *pattern, size_t size, const char *name) {
    if (size && pattern[size - 1] == '*') return strncmp(pattern, name, size - 1) == 0;
    return strlen(name) == size && memcmp(pattern, name, size) == 0;
}

const char *vks_quirk_find(const vks_quirk *rows, const vks_caps *caps, const char *variant) {
    for (const vks_quirk *q = rows ? rows : quirks; q->reason; q++)
        if ((!q->vendor_id || q->vendor_id == caps->vendor_id) && is_part(q->device, caps->name) &&
            is_part(q->driver, caps->driver) && vks_variant_matches(q->variant, strlen(q->variant), variant))
            return q->reason;
    return NULL;
}
