#include "utf8.h"

#include <stdbool.h>

static void write_replacement(FILE *file) {
    fputs("\xef\xbf\xbd", file);
}

// Bytes of the character that starts with `lead`, or 0 if no character does.
static unsigned character_size(unsigned char lead) {
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return 2;
    if (lead >= 0xe0 && lead <= 0xef) return 3;
    if (lead >= 0xf0 && lead <= 0xf4) return 4;
    return 0;
}

// Whether `byte` may follow `lead` as byte `index`. The second byte excludes overlong forms, surrogates, and what lies
// above U+10FFFF.
static bool may_follow(unsigned char lead, unsigned index, unsigned char byte) {
    unsigned char low = 0x80, high = 0xbf;
    if (index == 1) {
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    }
    return byte >= low && byte <= high;
}

static void write_byte(utf8_stream *stream, unsigned char byte, FILE *file) {
    if (stream->n_held && !may_follow(stream->held[0], stream->n_held, byte)) {
        write_replacement(file);
        stream->n_held = 0; // and `byte` starts anew
    }
    if (!stream->n_held && !character_size(byte)) {
        write_replacement(file);
        return;
    }
    stream->held[stream->n_held++] = byte;
    if (stream->n_held == character_size(stream->held[0])) {
        fwrite(stream->held, 1, stream->n_held, file);
        stream->n_held = 0;
    }
}

void utf8_write(utf8_stream *stream, const char *bytes, size_t size, FILE *file) {
    for (size_t i = 0; i < size; i++)
        write_byte(stream, (unsigned char)bytes[i], file);
}

void utf8_end(utf8_stream *stream, FILE *file) {
    if (stream->n_held) write_replacement(file);
    stream->n_held = 0;
}
