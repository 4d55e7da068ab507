#include "pattern.h"

#include <string.h>

#include "host/base/alloc.h"

// The insides of character classes. PCRE2's own \s, \w and \h differ from Oniguruma's (U+180E, marks, hexadecimal
// digits).
#define WHITE_SPACE                                                                                                    \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_WHITE_SPACE                                                                                                \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}" \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD                                                                                                           \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{"    \
    "1f189}"
#define HEX_DIGIT "0-9a-fA-F"

typedef struct shorthand {
    char letter;
    const char *alone, *in_class; // in_class NULL: no such class inside brackets
} shorthand;

static const shorthand shorthands[] = {
    {'s', "[" WHITE_SPACE "]", WHITE_SPACE},
    {'S', "[^" WHITE_SPACE "]", NOT_WHITE_SPACE},
    {'w', "[" WORD "]", WORD},
    {'W', "[^" WORD "]", NULL},
    {'h', "[" HEX_DIGIT "]", HEX_DIGIT},
    {'H', "[^" HEX_DIGIT "]", NULL},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'b', "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))", "\\x{8}"},
    {'B', "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))", NULL},
    {'v', "\\x{b}", "\\x{b}"},
};

typedef struct translation {
    const vks_pattern_env *env;
    const vkssm_log *log;
    const char *name;
    const char *in;
    size_t size, at;
    char *out;
    size_t n_out, capacity;
    bool out_of_memory;
} translation;

static void *pattern_alloc(size_t size, void *user) {
    (void)user;
    return vks_alloc(size);
}

static void pattern_free(void *memory, void *user) {
    (void)user;
    vks_free(memory);
}

bool vks_pattern_env_init(vks_pattern_env *env) {
    memset(env, 0, sizeof *env);
    env->general = pcre2_general_context_create(pattern_alloc, pattern_free, NULL);
    env->compile = env->general ? pcre2_compile_context_create(env->general) : NULL;
    env->match = env->general ? pcre2_match_context_create(env->general) : NULL;
    if (!env->compile || !env->match) {
        vks_pattern_env_finish(env);
        return false;
    }
    // Explicit, because each build of PCRE2 may choose other defaults.
    pcre2_set_newline(env->compile, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(env->compile, 1u << 20);
    pcre2_set_match_limit(env->match, 10u * 1000 * 1000);
    pcre2_set_heap_limit(env->match, 256u * 1024); // KiB
    return true;
}

void vks_pattern_env_finish(vks_pattern_env *env) {
    pcre2_match_context_free(env->match);
    pcre2_compile_context_free(env->compile);
    pcre2_general_context_free(env->general);
    memset(env, 0, sizeof *env);
}

static void emit(translation *t, const char *text, size_t size) {
    void *grown = t->out;
    if (t->out_of_memory || !vks_grow(&grown, &t->capacity, t->n_out + size, 1)) {
        t->out_of_memory = true;
        return;
    }
    t->out = grown;
    memcpy(t->out + t->n_out, text, size);
    t->n_out += size;
}

static void emit_text(translation *t, const char *text) {
    emit(t, text, strlen(text));
}

static char peek(const translation *t, size_t ahead) {
    return ahead < t->size - t->at ? t->in[t->at + ahead] : '\0';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const shorthand *find_shorthand(char letter) {
    for (size_t i = 0; i < VKS_COUNT(shorthands); i++)
        if (shorthands[i].letter == letter) return &shorthands[i];
    return NULL;
}

static vkssm_status refuse(const translation *t, size_t n_byte) {
    size_t n = n_byte < t->size - t->at ? n_byte : t->size - t->at;
    return vks_fail(t->log, VKSSM_ERR_UNSUPPORTED, "%s: pattern syntax \"%.*s\" at byte %zu is not supported", t->name,
                    (int)n, t->in + t->at, t->at);
}

// Newer PCRE2 reads \p{Script} as the script's extensions; the plain script is meant. Older ones know neither prefix
// nor extensions, so the prefix is used only where it compiles.
static bool is_script(const translation *t, const char *name, size_t size) {
    char probe[64] = "\\p{sc:";
    size_t n = strlen(probe);
    if (size < 3 || n + size + 1 > sizeof probe) return false;
    memcpy(probe + n, name, size);
    probe[n + size] = '}';
    int error;
    PCRE2_SIZE offset;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)probe, n + size + 1, PCRE2_UTF, &error, &offset, t->env->compile);
    pcre2_code_free(code);
    return code != NULL;
}

static vkssm_status translate_property(translation *t) {
    if (peek(t, 2) != '{') return refuse(t, 3);
    size_t start = t->at + 3, end = start;
    while (end < t->size && t->in[end] != '}')
        end++;
    if (end == t->size || end == start) return refuse(t, 8);
    bool negated = t->in[start] == '^';
    size_t name = start + negated;
    emit(t, t->in + t->at, start - t->at); // \p{ or \P{
    if (negated) emit_text(t, "^");
    if (is_script(t, t->in + name, end - name)) emit_text(t, "sc:");
    emit(t, t->in + name, end - name + 1);
    t->at = end + 1;
    return VKSSM_OK;
}

// \xHH (ASCII only: beyond, Oniguruma means a byte), \x{H...}, \uHHHH.
static vkssm_status translate_hex(translation *t) {
    bool braces = peek(t, 1) == 'x' && peek(t, 2) == '{';
    size_t start = t->at + 2 + braces, end = start, n_max = braces ? 8 : t->in[t->at + 1] == 'u' ? 4 : 2;
    while (end < t->size && end - start < n_max && is_hex(t->in[end]))
        end++;
    if (end == start || (braces && (end == t->size || t->in[end] != '}'))) return refuse(t, 8);
    if (n_max == 4 && end - start != 4) return refuse(t, 6);
    if (n_max == 2 && end - start == 2 && !(t->in[start] >= '0' && t->in[start] <= '7')) return refuse(t, 4);
    emit_text(t, "\\x{");
    emit(t, t->in + start, end - start);
    emit_text(t, "}");
    t->at = end + braces;
    return VKSSM_OK;
}

// A backslash and what belongs to it. *is_set: it stood for several characters.
static vkssm_status translate_escape(translation *t, bool in_class, bool *is_set) {
    char c = peek(t, 1);
    *is_set = false;
    if (t->at + 1 >= t->size) return refuse(t, 1);
    const shorthand *s = find_shorthand(c);
    if (s) {
        const char *text = in_class ? s->in_class : s->alone;
        if (!text) return refuse(t, 2);
        emit_text(t, text);
        t->at += 2;
        *is_set = c != 'v' && c != 'b';
        return VKSSM_OK;
    }
    if (c == 'p' || c == 'P') {
        *is_set = true;
        return translate_property(t);
    }
    if (c == 'x' || c == 'u') return translate_hex(t);
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), is_known = c && strchr("rntfae", c);
    if (!in_class && c && strchr("AzZ", c)) is_known = true;
    if ((is_letter && !is_known) || is_digit(c) || (unsigned char)c >= 0x80) return refuse(t, 2);
    emit(t, t->in + t->at, 2);
    t->at += 2;
    return VKSSM_OK;
}

static bool starts_set(const translation *t, size_t ahead) {
    char c = peek(t, ahead + 1);
    return peek(t, ahead) == '\\' && c && strchr("sSwWhHdDpP", c);
}

static vkssm_status translate_class(translation *t) {
    size_t n_open = 1 + (peek(t, 1) == '^');
    if (peek(t, n_open) == ']') return refuse(t, n_open + 1);
    emit(t, t->in + t->at, n_open);
    t->at += n_open;
    bool after_set = false;
    while (t->at < t->size && peek(t, 0) != ']') {
        char c = peek(t, 0);
        if (c == '[' || (c == '&' && peek(t, 1) == '&')) return refuse(t, 2); // nested sets and intersections
        if (c == '\\') {
            VKS_TRY(translate_escape(t, true, &after_set));
            continue;
        }
        // Beside a set a hyphen is itself; spelled out, so that the set's last range does not take it.
        if (c == '-' && (after_set || starts_set(t, 1))) emit_text(t, "\\");
        emit(t, &c, 1);
        after_set = false;
        t->at++;
    }
    if (t->at == t->size) return refuse(t, 0);
    emit_text(t, "]");
    t->at++;
    return VKSSM_OK;
}

// Groups whose meaning both engines share.
static vkssm_status translate_group(translation *t) {
    static const char *const openings[] = {
        "(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:", "(?i)", "(?-i)"};
    if (peek(t, 1) == '*') return refuse(t, 2);
    if (peek(t, 1) != '?') {
        emit_text(t, "(");
        t->at++;
        return VKSSM_OK;
    }
    for (size_t i = 0; i < VKS_COUNT(openings); i++) {
        size_t n = strlen(openings[i]);
        if (t->size - t->at < n || memcmp(t->in + t->at, openings[i], n) != 0) continue;
        emit_text(t, openings[i]);
        t->at += n;
        return VKSSM_OK;
    }
    return refuse(t, 3);
}

// {n}, {n,}, {,m}, {n,m}; any other brace is itself. Refused: X{n,m}+ (Ruby repeats the interval, PCRE2's is
// possessive) and X{n}? (optional in Ruby, lazy in PCRE2).
static vkssm_status translate_brace(translation *t) {
    size_t end = t->at + 1;
    while (end < t->size && is_digit(t->in[end]))
        end++;
    bool has_low = end > t->at + 1, has_comma = end < t->size && t->in[end] == ',';
    size_t high = end + has_comma;
    if (has_comma)
        for (end = high; end < t->size && is_digit(t->in[end]);)
            end++;
    bool is_interval = end < t->size && t->in[end] == '}' && (has_low || (has_comma && end > high));
    if (!is_interval) {
        emit_text(t, "\\{");
        t->at++;
        return VKSSM_OK;
    }
    char after = end + 1 < t->size ? t->in[end + 1] : '\0';
    if (after == '+' || (after == '?' && !has_comma)) return refuse(t, end + 2 - t->at);
    emit_text(t, has_low ? "{" : "{0");
    emit(t, t->in + t->at + 1, end - t->at);
    t->at = end + 1;
    return VKSSM_OK;
}

static vkssm_status translate(translation *t) {
    while (t->at < t->size) {
        bool is_set;
        switch (peek(t, 0)) {
        case '\\':
            VKS_TRY(translate_escape(t, false, &is_set));
            break;
        case '[':
            VKS_TRY(translate_class(t));
            break;
        case '(':
            VKS_TRY(translate_group(t));
            break;
        case '{':
            VKS_TRY(translate_brace(t));
            break;
        default:
            emit(t, t->in + t->at, 1);
            t->at++;
        }
    }
    return VKSSM_OK;
}

static vkssm_status compile(const translation *t, const char *text, size_t size, uint32_t options, pcre2_code **out) {
    int error;
    PCRE2_SIZE offset;
    *out = pcre2_compile((PCRE2_SPTR)text, size, PCRE2_UTF | options, &error, &offset, t->env->compile);
    if (*out) return VKSSM_OK;
    if (error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED)
        return vks_fail(t->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the pattern", t->name);
    char reason[160] = "";
    pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
    return vks_fail(t->log, VKSSM_ERR_UNSUPPORTED, "%s: cannot compile the pattern \"%.*s\": %s", t->name,
                    (int)(t->size < 200 ? t->size : 200), t->in, reason);
}

vkssm_status vks_pattern_compile(const vks_pattern_env *env, const char *name, const char *pattern, size_t size,
                                 bool literal, const vkssm_log *log, pcre2_code **out) {
    translation t = {.env = env, .log = log, .name = name, .in = pattern, .size = size};
    *out = NULL;
    if (literal) return compile(&t, pattern, size, PCRE2_LITERAL, out);
    vkssm_status status = translate(&t);
    if (status == VKSSM_OK && t.out_of_memory)
        status = vks_fail(log, VKSSM_ERR_OOM_HOST, "%s: out of memory for the pattern", name);
    // Ruby's ^ and $ are those of lines.
    if (status == VKSSM_OK)
        status = compile(&t, t.out ? t.out : "", t.n_out, PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, out);
    vks_free(t.out);
    return status;
}
