#include "unicode_text.h"

#include <string.h>

#include <utf8proc.h>

#include "host/base/alloc.h"

#define NFC_OPTIONS ((utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE))

bool vks_utf8_check(const char *text, size_t size, size_t *bad_offset) {
    for (size_t i = 0; i < size;) {
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        utf8proc_int32_t code_point;
        size_t n_left = size - i < 4 ? size - i : 4;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)n_left, &code_point);
        if (n <= 0 || !utf8proc_codepoint_valid(code_point)) {
            *bad_offset = i;
            return false;
        }
        i += (size_t)n;
    }
    return true;
}

size_t vks_utf8_next(const char *text, size_t size, size_t offset, uint32_t *code_point) {
    utf8proc_int32_t value = 0;
    size_t n_left = size - offset < 4 ? size - offset : 4;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + offset, (utf8proc_ssize_t)n_left, &value);
    *code_point = (uint32_t)value;
    return n > 0 ? (size_t)n : 1;
}

size_t vks_utf8_previous(const char *text, size_t offset, uint32_t *code_point) {
    size_t start = offset - 1;
    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80)
        start--;
    vks_utf8_next(text, offset, start, code_point);
    return offset - start;
}

bool vks_is_white_space(uint32_t c) {
    return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool vks_is_word(uint32_t c) {
    // Alphabetic characters outside the categories below: circled and squared letters; then the join controls.
    if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
        (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c || c == 0x200d)
        return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

bool vks_nfc_is_certain(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0xcc) return false; // the lead byte of U+0300
    return true;
}

// Stable order of one run of marks by combining class. Counting keeps long runs linear, where the exchange sort of
// utf8proc_decompose is quadratic.
static void order_marks(utf8proc_int32_t *marks, size_t n, utf8proc_int32_t *scratch) {
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[1 + (utf8proc_get_property(marks[i])->combining_class & 255)]++;
    for (size_t c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        scratch[start[utf8proc_get_property(marks[i])->combining_class & 255]++] = marks[i];
    memcpy(marks, scratch, n * sizeof *marks);
}

static void order_all_marks(utf8proc_int32_t *points, size_t n, utf8proc_int32_t *scratch) {
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && utf8proc_get_property(points[end])->combining_class)
            end++;
        if (end - i > 1) order_marks(points + i, end - i, scratch);
        i = end > i ? end : i + 1;
    }
}

// The full canonical decomposition, not yet ordered. NULL when out of memory.
static utf8proc_int32_t *decompose(const char *text, size_t size, size_t *n_point) {
    utf8proc_int32_t *points = NULL;
    size_t capacity = 0, n = 0;
    for (size_t i = 0; i < size;) {
        uint32_t code_point;
        i += vks_utf8_next(text, size, i, &code_point);
        void *grown = points;
        bool ok = vks_grow(&grown, &capacity, n + 8, sizeof *points); // a character has at most 4 parts
        points = grown;
        utf8proc_ssize_t n_part =
            ok ? utf8proc_decompose_char((utf8proc_int32_t)code_point, points + n, 8, NFC_OPTIONS, NULL) : -1;
        if (n_part < 0 || n_part > 8) {
            vks_free(points);
            return NULL;
        }
        n += (size_t)n_part;
    }
    *n_point = n;
    return points;
}

char *vks_nfc(const char *text, size_t size, size_t *out_size) {
    size_t n = 0;
    utf8proc_int32_t *points = decompose(text, size, &n);
    utf8proc_int32_t *scratch = points ? vks_alloc(n * sizeof *scratch) : NULL;
    char *out = NULL;
    if (points && scratch) {
        order_all_marks(points, n, scratch);
        utf8proc_ssize_t n_composed = utf8proc_normalize_utf32(points, (utf8proc_ssize_t)n, NFC_OPTIONS);
        n = n_composed > 0 ? (size_t)n_composed : 0;
        out = vks_alloc(n * 4);
    }
    if (out) {
        size_t length = 0;
        for (size_t i = 0; i < n; i++)
            length += (size_t)utf8proc_encode_char(points[i], (utf8proc_uint8_t *)out + length);
        *out_size = length;
    }
    vks_free(scratch);
    vks_free(points);
    return out;
}
