// What the tokenizer says about wrong files, and which begin and end tokens it takes from right ones.
#include "tokenizer_fixture.h"

typedef struct bad_file {
    const char *changes; // of SMALL
    vkssm_status status;
    const char *message; // a part of it
} bad_file;

#define ADDED(x) "{\"added_tokens\": [" x "]}"
#define SPLIT(x) PRE("{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"" x "\"}}")

static const bad_file bad_files[] = {
    {"{\"model\": 3}", VKSSM_ERR_FORMAT, "\"model\" must be an object, found integer"},
    {"{\"model\": null}", VKSSM_ERR_FORMAT, "\"model\" is missing"},
    {MODEL("\"type\": \"Unigram\""), VKSSM_ERR_UNSUPPORTED, "model: type \"Unigram\""},
    {MODEL("\"type\": 5"), VKSSM_ERR_FORMAT, "\"type\" must be a string"},
    {MODEL("\"vocab\": []"), VKSSM_ERR_FORMAT, "\"vocab\" must be an object, found array"},
    {MODEL("\"vocab\": null"), VKSSM_ERR_FORMAT, "\"vocab\" is missing"},
    {MODEL("\"merges\": null"), VKSSM_ERR_FORMAT, "\"merges\" is missing"},
    {MODEL("\"vocab\": {\"c\": -1}"), VKSSM_ERR_FORMAT, "\"c\": the id must be in [0, 16777216], found -1"},
    {MODEL("\"vocab\": {\"c\": 16777217}"), VKSSM_ERR_FORMAT, "found 16777217"},
    {MODEL("\"vocab\": {\"c\": 1.0}"), VKSSM_ERR_FORMAT, "the id must be an integer, found real number"},
    {MODEL("\"vocab\": {\"c\": 1}"), VKSSM_ERR_FORMAT, "two tokens have the id 1"},
    {MODEL("\"vocab\": {\"c\": 9}"), VKSSM_ERR_FORMAT, "another token has the id 9"},
    {MODEL("\"vocab\": {\"c d\": 11}"), VKSSM_ERR_FORMAT, "\"c d\" (id 11) has characters outside the byte alphabet"},
    {MODEL("\"vocab\": {\"\": 11}"), VKSSM_ERR_FORMAT, "an empty token"},
    {MODEL("\"vocab\": {\"\u2603\": 11}"), VKSSM_ERR_FORMAT, "is no added token"},
    {MODEL("\"vocab\": {\"<s>\": 11}"), VKSSM_ERR_FORMAT, "\"<s>\" has id 7, but id 11 in model.vocab"},
    {MODEL("\"merges\": [\"a b\", \"b a\"]"), VKSSM_ERR_FORMAT, "merges[1] \"b a\": the result is not in model.vocab"},
    {MODEL("\"merges\": [\"c a\"]"), VKSSM_ERR_FORMAT, "merges[0] \"c a\": the left part"},
    {MODEL("\"merges\": [[\"a\", \"c\"]]"), VKSSM_ERR_FORMAT, "merges[0] \"a c\": the right part"},
    {MODEL("\"merges\": [\"\u2603 a\"]"), VKSSM_ERR_FORMAT, "the left part"},
    {MODEL("\"merges\": [\"ab\"]"), VKSSM_ERR_FORMAT, "must be \"a b\" or [\"a\", \"b\"], found string \"ab\""},
    {MODEL("\"merges\": [\"a b a\"]"), VKSSM_ERR_FORMAT, "found string \"a b a\""},
    {MODEL("\"merges\": [[\"a\", \"b\", \"a\"]]"), VKSSM_ERR_FORMAT, "found array"},
    {MODEL("\"merges\": [\" \"]"), VKSSM_ERR_FORMAT, "the left part"},
    {MODEL("\"merges\": [4]"), VKSSM_ERR_FORMAT, "found integer"},
    {MODEL("\"merges\": [\"a b\", [\"a\", \"b\"]]"), VKSSM_ERR_FORMAT, "merges[1] repeats model.merges[0]"},
    {MODEL("\"dropout\": 0.1"), VKSSM_ERR_UNSUPPORTED, "dropout"},
    {MODEL("\"dropout\": \"x\""), VKSSM_ERR_FORMAT, "\"dropout\" must be a number"},
    {MODEL("\"byte_fallback\": true"), VKSSM_ERR_UNSUPPORTED, "byte_fallback"},
    {MODEL("\"continuing_subword_prefix\": \"##\""), VKSSM_ERR_UNSUPPORTED, "continuing_subword_prefix \"##\""},
    {MODEL("\"end_of_word_suffix\": \"</w>\""), VKSSM_ERR_UNSUPPORTED, "end_of_word_suffix \"</w>\""},
    {MODEL("\"unk_token\": \"zz\""), VKSSM_ERR_FORMAT, "unk_token \"zz\""},
    {MODEL("\"ignore_merges\": 1"), VKSSM_ERR_FORMAT, "\"ignore_merges\" must be true or false, found integer"},
    {ADDED("3"), VKSSM_ERR_FORMAT, "added_tokens[0] must be an object"},
    {ADDED("{\"id\": 3}"), VKSSM_ERR_FORMAT, "added_tokens[0] has no \"content\""},
    {ADDED("{\"content\": \"x\"}"), VKSSM_ERR_FORMAT, "\"x\": the id must be an integer, found missing"},
    {ADDED("{\"content\": [], \"id\": 3}"), VKSSM_ERR_FORMAT, "\"content\" must be a string, found array"},
    {ADDED("{\"content\": \"x\", \"id\": -3}"), VKSSM_ERR_FORMAT, "found -3"},
    {ADDED("{\"content\": \"x\", \"id\": 3, \"special\": 0}"), VKSSM_ERR_FORMAT, "\"special\" must be true or false"},
    {ADDED("{\"content\": \"x\", \"id\": 3}, {\"content\": \"x\", \"id\": 5}"), VKSSM_ERR_FORMAT,
     "\"x\" is listed twice"},
    {ADDED("{\"content\": \"x\", \"id\": 3}, {\"content\": \"y\", \"id\": 3}"), VKSSM_ERR_FORMAT, "the id 3"},
    {ADDED("{\"content\": \"x\", \"id\": 1}"), VKSSM_ERR_FORMAT, "the id 1"},
    {ADDED("{\"content\": \"b\", \"id\": 0}"), VKSSM_ERR_FORMAT, "\"b\" has id 0, but id 1"},
    {"{\"normalizer\": {\"type\": \"Lowercase\"}}", VKSSM_ERR_UNSUPPORTED, "normalizer type \"Lowercase\""},
    {"{\"normalizer\": {}}", VKSSM_ERR_UNSUPPORTED, "normalizer type \"\""},
    {"{\"normalizer\": []}", VKSSM_ERR_FORMAT, "\"normalizer\" must be an object, found array"},
    {"{\"normalizer\": {\"type\": \"Sequence\"}}", VKSSM_ERR_FORMAT, "a Sequence has no \"normalizers\""},
    {"{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Replace\"}]}}",
     VKSSM_ERR_UNSUPPORTED, "normalizer type \"Replace\""},
    {"{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [7]}}", VKSSM_ERR_FORMAT,
     "normalizer must be an object"},
    {PRE("null"), VKSSM_ERR_UNSUPPORTED, "without ByteLevel"},
    {PRE("{\"type\": \"Metaspace\"}"), VKSSM_ERR_UNSUPPORTED, "pre_tokenizer type \"Metaspace\""},
    {PRE("{\"type\": \"Sequence\", \"pretokenizers\": []}"), VKSSM_ERR_UNSUPPORTED, "without ByteLevel"},
    {PRE("{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"ByteLevel\"}]}"),
     VKSSM_ERR_UNSUPPORTED, "more than one ByteLevel"},
    {PRE("{\"type\": \"ByteLevel\", \"use_regex\": 1}"), VKSSM_ERR_FORMAT, "\"use_regex\""},
    {PRE("{\"type\": \"Split\"}"), VKSSM_ERR_FORMAT, "\"pattern\" must hold"},
    {PRE("{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"No\"}"), VKSSM_ERR_FORMAT,
     "unknown behavior \"No\""},
    {SPLIT("a("), VKSSM_ERR_UNSUPPORTED, "cannot compile the pattern \"a(\""},
    {SPLIT("[a&&b]"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"&&\" at byte 2"},
    {SPLIT("[a[b]]"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"[b\" at byte 2"},
    {SPLIT("[a"), VKSSM_ERR_UNSUPPORTED, "at byte 2"},
    {SPLIT("[]a]"), VKSSM_ERR_UNSUPPORTED, "pattern syntax"},
    {SPLIT("a\\\\"), VKSSM_ERR_UNSUPPORTED, "pattern syntax"},
    {SPLIT("(*LIMIT_MATCH=1)a"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"(*\""},
    {SPLIT("(?R)"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"(?R\""},
    {SPLIT("(?m:.)"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"(?m\""},
    {SPLIT("\\\\Qa"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"\\Q\""},
    {SPLIT("(a)\\\\1"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"\\1\""},
    {SPLIT("[\\\\W]"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"\\W\""},
    {SPLIT("a{1,3}+"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"{1,3}+\""},
    {SPLIT("a{2}?"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"{2}?\""},
    {SPLIT("\\\\xe9"), VKSSM_ERR_UNSUPPORTED, "pattern syntax \"\\xe9\""},
    {SPLIT("\\\\p{NoSuchClass}"), VKSSM_ERR_UNSUPPORTED, "cannot compile the pattern"},
    {SPLIT("\\\\p{"), VKSSM_ERR_UNSUPPORTED, "pattern syntax"},
    {"{\"decoder\": {\"type\": \"WordPiece\"}}", VKSSM_ERR_UNSUPPORTED, "decoder type \"WordPiece\""},
    {"{\"post_processor\": {\"type\": \"BertProcessing\"}}", VKSSM_ERR_UNSUPPORTED,
     "post_processor type \"BertProcessing\""},
    {"{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}]}}",
     VKSSM_ERR_FORMAT, "special token \"<s>\" has no \"ids\""},
    {"{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}], "
     "\"special_tokens\": {\"<s>\": {\"ids\": [8]}}}}",
     VKSSM_ERR_FORMAT, "has id 8, which is no token"},
    {"{\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}], "
     "\"special_tokens\": {\"<s>\": {\"ids\": [7, 7]}}}}",
     VKSSM_ERR_UNSUPPORTED, "must stand for 1 id, found 2"},
};

CHECK_CASE(wrong_files) {
    uint64_t n_live = vks_alloc_n_live();
    json_t *base = json_loads(SMALL(""), 0, NULL);
    for (size_t i = 0; i < VKS_COUNT(bad_files); i++) {
        json_t *changes = json_loads(bad_files[i].changes, 0, NULL), *json = change(base, changes);
        vkssm_tokenizer *tokenizer = NULL;
        vkssm_status status = parse(json, NULL, NULL, &tokenizer);
        CHECK_EQ(status, bad_files[i].status);
        CHECK(tokenizer == NULL);
        CHECK_CONTAINS(vkssm_last_error(), "tokenizer.json: ");
        CHECK_CONTAINS(vkssm_last_error(), bad_files[i].message);
        if (status != bad_files[i].status) CHECK_FAIL("case %zu: %s", i, bad_files[i].changes);
        vkssm_tokenizer_destroy(&tokenizer);
        json_decref(json);
        json_decref(changes);
    }
    json_decref(base);
    CHECK_EQ(vks_alloc_n_live(), n_live);
}

CHECK_CASE(wrong_json) {
    static const struct {
        const char *text, *message;
    } cases[] = {{"", "not JSON"},
                 {"[]", "expected an object, found array"},
                 {"{\"model\": {}, \"model\": {}}", "duplicate"},
                 {"{\"model\": {\"vocab\": {\"a\": 1, \"a\": 2}}}", "duplicate"},
                 {"{\"a\": \"\xff\"}", "not JSON: line 1"},
                 {"{} x", "not JSON"}};
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        vkssm_tokenizer *tokenizer = NULL;
        CHECK_EQ(
            vks_tokenizer_parse("f.json", cases[i].text, strlen(cases[i].text), "c.json", NULL, 0, NULL, &tokenizer),
            VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), "f.json: ");
        CHECK_CONTAINS(vkssm_last_error(), cases[i].message);
    }
}

// ---- begin and end tokens ------------------------------------------------------------------------------------------

#define TEMPLATE                                                                                                       \
    ", \"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, "                      \
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "          \
    "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], "                                                               \
    "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [7], \"tokens\": [\"<s>\"]}}}]}"

typedef struct warnings {
    int n;
    char last[512];
} warnings;

static void note_warning(void *user, vkssm_log_level level, const char *message) {
    warnings *w = user;
    if (level != VKSSM_LOG_WARNING) return;
    w->n++;
    snprintf(w->last, sizeof w->last, "%s", message);
}

CHECK_CASE(begin_and_end) {
    static const struct {
        const char *text, *config;
        int bos, eos, adds;
    } cases[] = {
        {SMALL(""), NULL, -1, -1, 0},
        {SMALL(""), "{}", -1, -1, 0},
        {SMALL(""), "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"aba\"}}", 7, 4, 0},
        {SMALL(""), "{\"bos_token\": \"<s>\", \"eos_token\": null, \"add_bos_token\": true}", 7, -1, 1},
        {SMALL(TEMPLATE), NULL, 7, -1, 1},
        {SMALL(TEMPLATE), "{\"bos_token\": \"a\", \"eos_token\": \"b\"}", 7, 1, 1},
        {SMALL(TEMPLATE), "{\"bos_token\": \"<s>\", \"add_bos_token\": false}", 7, -1, 0},
    };
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        vkssm_tokenizer *tokenizer = NULL;
        const char *config = cases[i].config;
        CHECK_EQ(vks_tokenizer_parse("t", cases[i].text, strlen(cases[i].text), "c", config,
                                     config ? strlen(config) : 0, NULL, &tokenizer),
                 VKSSM_OK);
        if (!tokenizer) continue;
        CHECK_EQ(vkssm_tokenizer_bos(tokenizer), cases[i].bos);
        CHECK_EQ(vkssm_tokenizer_eos(tokenizer), cases[i].eos);
        CHECK_EQ(vkssm_tokenizer_adds_bos(tokenizer), cases[i].adds);
        int32_t *ids = NULL;
        size_t n = 0;
        vkssm_status status = vkssm_tokenizer_encode(tokenizer, NULL, 0, true, false, &ids, &n);
        CHECK_EQ(status, cases[i].bos < 0 ? VKSSM_ERR_ARG : VKSSM_OK);
        CHECK_EQ(n, cases[i].bos >= 0);
        CHECK(n == 0 ? ids == NULL : ids[0] == cases[i].bos);
        vkssm_free(ids);
        vkssm_tokenizer_destroy(&tokenizer);
    }
}

CHECK_CASE(wrong_config) {
    static const struct {
        const char *config, *message;
    } cases[] = {{"", "tokenizer_config.json: not JSON"},
                 {"3", "tokenizer_config.json: "},
                 {"{\"bos_token\": 3}", "\"bos_token\" must be a string or an object"},
                 {"{\"eos_token\": {\"content\": []}}", "\"eos_token\" must be a string or an object"},
                 {"{\"add_bos_token\": \"yes\"}", "\"add_bos_token\" must be true or false"},
                 {"{\"add_bos_token\": true, \"bos_token\": \"nothing\"}", "bos_token names no token"},
                 {"{\"add_bos_token\": true}", "bos_token names no token"}};
    json_t *base = json_loads(SMALL(""), 0, NULL);
    vkssm_tokenizer *tokenizer = NULL;
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        CHECK_EQ(parse(base, cases[i].config, NULL, &tokenizer), VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), cases[i].message);
    }
    // An unknown name that nobody needs is only a warning, beside the one about missing bytes.
    warnings seen = {0};
    vkssm_log log = {note_warning, &seen, VKSSM_LOG_WARNING};
    CHECK_EQ(parse(base, "{\"eos_token\": \"nothing\"}", &log, &tokenizer), VKSSM_OK);
    CHECK_EQ(seen.n, 2);
    CHECK_CONTAINS(seen.last, "\"eos_token\" is \"nothing\"");
    vkssm_tokenizer_destroy(&tokenizer);
    json_decref(base);
}

int main(int argc, char **argv) {
    static const check_case cases[] = {
        CHECK_RUN(wrong_files), CHECK_RUN(wrong_json), CHECK_RUN(begin_and_end), CHECK_RUN(wrong_config), {0}};
    return check_main(argc, argv, cases);
}
