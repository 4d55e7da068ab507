#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

int cli_usage(const cli_command *command, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_error("%s: %s (see vkssm %s --help)", command->name, text, command->name);
    return CLI_USAGE;
}

static int option_width(const cli_option *option) {
    return (int)(strlen(option->name) + (option->argument ? 1 + strlen(option->argument) : 0));
}

static void print_option(const char *name, const char *argument, int width, const char *help, bool required) {
    int used = printf("  %s%s%s", name, argument ? " " : "", argument ? argument : "");
    printf("%*s%s%s\n", width + 4 - used, "", help, required ? " (required)" : "");
}

static void print_help(const cli_command *command, const cli_option *options) {
    int width = (int)strlen("--help");
    for (const cli_option *o = options; o->name; o++)
        if (option_width(o) > width) width = option_width(o);
    printf("usage: vkssm %s %s\n\n%s\n\noptions:\n", command->name, command->synopsis, command->summary);
    for (const cli_option *o = options; o->name; o++)
        print_option(o->name, o->argument, width, o->help, o->required);
    print_option("--help", NULL, width, "print this text", false);
}

// The library's parsers of numbers skip white space and take words such as "nan": a number here starts like one.
static bool starts_number(const char *text, bool real) {
    if (real && (*text == '-' || *text == '+')) text++;
    if (real && *text == '.') text++;
    return isdigit((unsigned char)*text) != 0;
}

static bool parse_whole(const char *text, uint64_t max, uint64_t *out) {
    if (!starts_number(text, false)) return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || value > max) return false;
    *out = value;
    return true;
}

static int parse_count(const cli_command *command, const cli_option *option, const char *text) {
    uint64_t value;
    if (!parse_whole(text, (uint64_t)option->max, &value) || value < (uint64_t)option->min)
        return cli_usage(command, "%s: expected a whole number from %.0f to %.0f, found \"%s\"", option->name,
                         option->min, option->max, text);
    *(uint32_t *)option->value = (uint32_t)value;
    return CLI_GO_ON;
}

static int parse_seed(const cli_command *command, const cli_option *option, const char *text) {
    if (!parse_whole(text, UINT64_MAX, option->value))
        return cli_usage(command, "%s: expected a whole number below 2^64, found \"%s\"", option->name, text);
    return CLI_GO_ON;
}

static int parse_real(const cli_command *command, const cli_option *option, const char *text) {
    char *end = NULL;
    double value = starts_number(text, true) ? strtod(text, &end) : NAN;
    bool enough = option->above_min ? value > option->min : value >= option->min; // false for a NaN
    if (!end || *end || !enough || value > option->max)
        return cli_usage(command, "%s: expected a number %s %g and at most %g, found \"%s\"", option->name,
                         option->above_min ? "above" : "of at least", option->min, option->max, text);
    *(double *)option->value = value;
    return CLI_GO_ON;
}

static int parse_dtype(const cli_command *command, const cli_option *option, const char *text) {
    static const struct {
        const char *name;
        vkssm_dtype dtype;
    } known[] = {{"f32", VKSSM_DTYPE_F32}, {"f16", VKSSM_DTYPE_F16}, {"bf16", VKSSM_DTYPE_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(text, known[i].name) != 0) continue;
        *(cli_dtype *)option->value = (cli_dtype){true, known[i].dtype};
        return CLI_GO_ON;
    }
    return cli_usage(command, "%s: expected f32, f16 or bf16, found \"%s\"", option->name, text);
}

static int parse_storage(const cli_command *command, const cli_option *option, const char *text) {
    static const char *const known[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cli_dtype *out = option->value;
        if (strcmp(text, known[i]) == 0 && (out->given = vkssm_dtype_from_name(text, &out->dtype))) return CLI_GO_ON;
    }
    return cli_usage(command, "%s: expected f32, f16, bf16, q8_0, q4_0, q4_k or q6_k, found \"%s\"", option->name,
                     text);
}

static uint32_t feature_bit(const char *name, size_t size) {
    for (unsigned bit = 0; bit < 31; bit++) {
        const char *known = vkssm_feature_name((vkssm_feature)(1u << bit));
        if (known && strlen(known) == size && memcmp(known, name, size) == 0) return 1u << bit;
    }
    return 0;
}

static int parse_features(const cli_command *command, const cli_option *option, const char *text) {
    uint32_t mask = 0;
    for (const char *name = text;;) {
        size_t size = strcspn(name, ",");
        uint32_t bit = feature_bit(name, size);
        if (!bit)
            return cli_usage(command, "%s: expected capabilities as vkssm info names them, found \"%.*s\"",
                             option->name, (int)(size < 100 ? size : 100), name);
        mask |= bit;
        if (!name[size]) break;
        name += size + 1;
    }
    *(uint32_t *)option->value |= mask;
    return CLI_GO_ON;
}

static int set_option(const cli_command *command, const cli_option *option, const char *text) {
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)option->value = true;
        return CLI_GO_ON;
    case CLI_TEXT:
        *(const char **)option->value = text;
        return CLI_GO_ON;
    case CLI_COUNT:
        return parse_count(command, option, text);
    case CLI_SEED:
        return parse_seed(command, option, text);
    case CLI_REAL:
        return parse_real(command, option, text);
    case CLI_DTYPE:
        return parse_dtype(command, option, text);
    case CLI_STORAGE:
        return parse_storage(command, option, text);
    case CLI_FEATURES:
        return parse_features(command, option, text);
    }
    return CLI_USAGE;
}

// The option that `word` names as --name or --name=value; NULL if there is none. *value: what follows the '=', or NULL.
static const cli_option *find_option(const cli_option *options, const char *word, const char **value) {
    size_t size = strcspn(word, "=");
    *value = word[size] ? word + size + 1 : NULL;
    for (const cli_option *o = options; o->name; o++)
        if (strlen(o->name) == size && memcmp(o->name, word, size) == 0) return o;
    return NULL;
}

int cli_parse(const cli_command *command, const cli_option *options, int argc, char **argv) {
    uint64_t given = 0; // bit i: options[i] was there
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command, options);
            return cli_end_output(CLI_OK);
        }
        const char *value;
        const cli_option *option = find_option(options, argv[i], &value);
        if (!option) return cli_usage(command, "unknown option \"%s\"", argv[i]);
        if (!option->argument && value)
            return cli_usage(command, "%s takes no value, found \"%s\"", option->name, value);
        if (option->argument && !value) {
            if (++i == argc)
                return cli_usage(command, "%s: expected %s, found nothing", option->name, option->argument);
            value = argv[i];
        }
        int status = set_option(command, option, value);
        if (status != CLI_GO_ON) return status;
        given |= UINT64_C(1) << (option - options);
    }
    for (const cli_option *o = options; o->name; o++)
        if (o->required && !(given >> (o - options) & 1))
            return cli_usage(command, "expected %s %s, which is required", o->name, o->argument ? o->argument : "");
    return CLI_GO_ON;
}
