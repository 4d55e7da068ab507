// The printable alphabet of byte-level BPE: each byte has one character, and files spell tokens in these characters.
// Bytes that print as themselves in Latin-1 keep their code point; the others follow from U+0100, in order of value.
#ifndef VKS_BYTE_ALPHABET_H
#define VKS_BYTE_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t vks_alphabet_char(uint8_t byte);
int vks_alphabet_byte(uint32_t code_point); // -1: not in the alphabet

// UTF-8 in the alphabet to the bytes it stands for (room for `size`). False at a character outside the alphabet.
bool vks_alphabet_decode(const char *text, size_t size, char *bytes, size_t *n_byte);
// Bytes to UTF-8 in the alphabet (room for 2 * size); returns the length.
size_t vks_alphabet_encode(const char *bytes, size_t size, char *text);
// Order of a spelled text and bytes, by the values of the bytes; what is not in the alphabet comes after all of them.
int vks_alphabet_compare(const char *text, size_t size, const char *bytes, size_t n_byte);

#endif
