// What the tokenizer asks of Unicode: valid UTF-8, two character classes, normalisation form C.
#ifndef VKS_UNICODE_TEXT_H
#define VKS_UNICODE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// False if the bytes are not UTF-8; *bad_offset is where the first bad sequence starts.
bool vks_utf8_check(const char *text, size_t size, size_t *bad_offset);

// The character at `offset` and the one that ends there; the text is valid UTF-8. Both return its length in bytes.
size_t vks_utf8_next(const char *text, size_t size, size_t offset, uint32_t *code_point);
size_t vks_utf8_previous(const char *text, size_t offset, uint32_t *code_point);

bool vks_is_white_space(uint32_t code_point); // property White_Space
bool vks_is_word(uint32_t code_point);        // letters, marks, digits, connectors and join controls (UTS 18, \w)

// Whether the text is certainly in form C already: nothing at or above U+0300.
bool vks_nfc_is_certain(const char *text, size_t size);
// Form C of valid UTF-8, allocated with vks_alloc; NULL when out of memory.
char *vks_nfc(const char *text, size_t size, size_t *out_size);

#endif
