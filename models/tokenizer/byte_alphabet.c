#include "byte_alphabet.h"

// The bytes without a printable form of their own are 0..32, 127..160 and 173.
uint32_t vks_alphabet_char(uint8_t byte) {
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33 + (byte - 127u);
    return byte == 173 ? 256u + 67 : byte;
}

int vks_alphabet_byte(uint32_t code_point) {
    if (code_point >= 256 && code_point <= 288) return (int)code_point - 256;
    if (code_point >= 289 && code_point <= 322) return (int)code_point - 289 + 127;
    if (code_point == 323) return 173;
    bool printable = (code_point >= 33 && code_point <= 126) || (code_point >= 161 && code_point <= 172) ||
                     (code_point >= 174 && code_point <= 255);
    return printable ? (int)code_point : -1;
}

// The byte that the text spells at *at, which moves on; 256 for anything else. U+0143 is the last: two bytes are
// enough.
static int next_byte(const char *text, size_t size, size_t *at) {
    const unsigned char *in = (const unsigned char *)text;
    uint32_t code_point = in[(*at)++];
    if (code_point >= 0x80) {
        if (code_point < 0xc2 || code_point > 0xdf || *at == size || (in[*at] & 0xc0) != 0x80) return 256;
        code_point = (code_point & 0x1f) << 6 | (in[(*at)++] & 0x3fu);
    }
    int byte = vks_alphabet_byte(code_point);
    return byte < 0 ? 256 : byte;
}

bool vks_alphabet_decode(const char *text, size_t size, char *bytes, size_t *n_byte) {
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        int byte = next_byte(text, size, &i);
        if (byte > 255) return false;
        bytes[n++] = (char)byte;
    }
    *n_byte = n;
    return true;
}

int vks_alphabet_compare(const char *text, size_t size, const char *bytes, size_t n_byte) {
    size_t at = 0;
    for (size_t i = 0; i < n_byte; i++) {
        if (at >= size) return -1;
        int order = next_byte(text, size, &at) - (unsigned char)bytes[i];
        if (order) return order;
    }
    return at < size;
}

size_t vks_alphabet_encode(const char *bytes, size_t size, char *text) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t code_point = vks_alphabet_char((uint8_t)bytes[i]);
        if (code_point < 0x80) {
            text[n++] = (char)code_point;
        } else {
            text[n++] = (char)(0xc0 | code_point >> 6);
            text[n++] = (char)(0x80 | (code_point & 0x3f));
        }
    }
    return n;
}
