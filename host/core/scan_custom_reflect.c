// What SPIR-V says of the element of a user's operator: its size and the type of every word.
#include "core_scan_custom.h"

#include <string.h>

#include "host/base/alloc.h"

// The few opcodes and decorations needed (SPIR-V specification, sections 3.20, 3.31, 3.42).
enum {
    OP_CAPABILITY = 17,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_MATRIX = 24,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_RUNTIME_ARRAY = 29,
    OP_TYPE_STRUCT = 30,
    OP_CONSTANT = 43,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    DECORATION_ARRAY_STRIDE = 6,
    DECORATION_MATRIX_STRIDE = 7,
    DECORATION_OFFSET = 35,
    CAPABILITY_MATRIX = 0,
    CAPABILITY_SHADER = 1,
    CAPABILITY_PHYSICAL_ADDRESSES = 5347,
};
enum { HEADER_WORDS = 5, MAX_DEPTH = 8 };

typedef struct module {
    const uint32_t *words;
    size_t n_word;
} module;

typedef struct instruction {
    uint32_t op, n_word; // with the first word
    const uint32_t *words;
} instruction;

// The instruction at word *at, which moves behind it. False at the end.
static bool next(const module *m, size_t *at, instruction *out) {
    if (*at >= m->n_word) return false;
    *out = (instruction){m->words[*at] & 0xffff, m->words[*at] >> 16, m->words + *at};
    if (out->n_word == 0 || out->n_word > m->n_word - *at) return false;
    *at += out->n_word;
    return true;
}

// The type or constant `id`: constants have their id behind their type.
static bool find(const module *m, uint32_t id, instruction *out) {
    size_t at = HEADER_WORDS;
    while (next(m, &at, out)) {
        bool type = out->op >= OP_TYPE_INT && out->op <= OP_TYPE_STRUCT && out->n_word > 1 && out->words[1] == id;
        bool constant = out->op == OP_CONSTANT && out->n_word > 3 && out->words[2] == id;
        if (type || constant) return true;
    }
    return false;
}

static uint32_t decoration(const module *m, uint32_t id, uint32_t which) {
    instruction i;
    for (size_t at = HEADER_WORDS; next(m, &at, &i);)
        if (i.op == OP_DECORATE && i.n_word > 3 && i.words[1] == id && i.words[2] == which) return i.words[3];
    return 0;
}
static uint32_t member_decoration(const module *m, uint32_t id, uint32_t member, uint32_t which) {
    instruction i;
    for (size_t at = HEADER_WORDS; next(m, &at, &i);)
        if (i.op == OP_MEMBER_DECORATE && i.n_word > 4 && i.words[1] == id && i.words[2] == member &&
            i.words[3] == which)
            return i.words[4];
    return 0;
}

// Enter the words of a type at a byte offset. False: it has members that are not of 32 bits, or too many of them.
static bool mark(const module *m, uint32_t id, uint64_t offset, uint32_t matrix_stride, int depth,
                 vks_scan_element *out) {
    instruction i;
    if (depth > MAX_DEPTH || !find(m, id, &i)) return false;
    if (i.op == OP_TYPE_INT || i.op == OP_TYPE_FLOAT) {
        if (i.n_word < 3 || i.words[2] != 32 || offset % 4 || offset / 4 >= VKS_SCAN_MAX_WORD) return false;
        bool is_signed = i.op == OP_TYPE_INT && i.n_word > 3 && i.words[3];
        out->kinds[offset / 4] = (uint8_t)(i.op == OP_TYPE_FLOAT ? VKS_WORD_FLOAT
                                           : is_signed           ? VKS_WORD_INT
                                                                 : VKS_WORD_UINT);
        return true;
    }
    if (i.op == OP_TYPE_STRUCT) {
        for (uint32_t member = 0; member + 2 < i.n_word; member++)
            if (!mark(m, i.words[member + 2], offset + member_decoration(m, id, member, DECORATION_OFFSET),
                      member_decoration(m, id, member, DECORATION_MATRIX_STRIDE), depth + 1, out))
                return false;
        return true;
    }
    if (i.n_word < 4) return false;
    uint32_t n = i.words[3], stride = 4;
    instruction length;
    if (i.op == OP_TYPE_ARRAY) {
        if (!find(m, n, &length) || length.op != OP_CONSTANT) return false;
        n = length.words[3];
        stride = decoration(m, id, DECORATION_ARRAY_STRIDE);
    } else if (i.op == OP_TYPE_MATRIX)
        stride = matrix_stride;
    else if (i.op != OP_TYPE_VECTOR)
        return false;
    if (n > VKS_SCAN_MAX_WORD) return false;
    for (uint32_t k = 0; k < n; k++)
        if (!mark(m, i.words[2], offset + (uint64_t)k * stride, matrix_stride, depth + 1, out)) return false;
    return true;
}

static vkssm_status check_capabilities(const vkssm_scan_custom *scan, const module *m) {
    instruction i;
    for (size_t at = HEADER_WORDS; next(m, &at, &i);) {
        if (i.op != OP_CAPABILITY || i.n_word < 2) continue;
        uint32_t capability = i.words[1];
        if (capability != CAPABILITY_MATRIX && capability != CAPABILITY_SHADER &&
            capability != CAPABILITY_PHYSICAL_ADDRESSES)
            return vks_fail(vks_device_log(scan->device->vk), VKSSM_ERR_UNSUPPORTED,
                            "%s: GLSL that every device can run expected, SPIR-V capability %u needed", scan->name,
                            capability);
    }
    return VKSSM_OK;
}

vkssm_status vks_scan_custom_reflect(vkssm_scan_custom *scan) {
    const vkssm_log *log = vks_device_log(scan->device->vk);
    module m = {scan->code, scan->code_size / 4};
    VKS_TRY(check_capabilities(scan, &m));
    // The one array without a length whose elements are structures is the library's array of elements.
    instruction i, type;
    uint32_t n_found = 0, id = 0;
    for (size_t at = HEADER_WORDS; next(&m, &at, &i);) {
        if (i.op != OP_TYPE_RUNTIME_ARRAY || i.n_word < 3 || !find(&m, i.words[2], &type) || type.op != OP_TYPE_STRUCT)
            continue;
        n_found++;
        id = i.words[2];
        scan->element.size = decoration(&m, i.words[1], DECORATION_ARRAY_STRIDE);
    }
    if (n_found != 1)
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: one array of elements expected, %u found: buffers of its own have no place in "
                        "an operator",
                        scan->name, n_found);
    if (scan->element.size == 0 || scan->element.size > VKSSM_SCAN_MAX_ELEMENT_SIZE)
        return vks_fail(log, VKSSM_ERR_ARG, "%s: a struct element of at most %d bytes expected, %u found", scan->name,
                        VKSSM_SCAN_MAX_ELEMENT_SIZE, scan->element.size);
    if (scan->element.size % 4 || !mark(&m, id, 0, 0, 0, &scan->element))
        return vks_fail(log, VKSSM_ERR_ARG,
                        "%s: a struct element of 32-bit floats and integers expected, another type found", scan->name);
    return VKSSM_OK;
}
