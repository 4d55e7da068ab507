// The tokenizer against recorded ids, against a slow reference written here, on trained tokenizers, and on wrong files.
#include "harness/check.h"

#include <vkssm/tensor_file.h>

#include "host/base/file.h"
#include "tokenizer_fixture.h"

// ---- fixtures ------------------------------------------------------------------------------------------------------

static json_t *read_json(const char *name) {
    const char *folder = getenv("VKSSM_TEST_DATA");
    char path[1024];
    snprintf(path, sizeof path, "%s/tokenizer/%s", folder ? folder : "", name);
    json_error_t error = {0};
    json_t *json = folder ? json_load_file(path, 0, &error) : NULL;
    if (folder && !json) CHECK_FAIL("%s: %s", path, error.text);
    return json;
}

static vkssm_tokenizer *make(const json_t *base, const char *changes_text) {
    json_t *changes = json_loads(changes_text, 0, NULL), *json = change(base, changes);
    vkssm_tokenizer *tokenizer = NULL;
    if (parse(json, NULL, NULL, &tokenizer) != VKSSM_OK) CHECK_FAIL("%s: %s", changes_text, vkssm_last_error());
    json_decref(json);
    json_decref(changes);
    return tokenizer;
}

static bool same_ids(const int32_t *ids, size_t n, const json_t *wanted) {
    bool same = n == json_array_size(wanted);
    for (size_t i = 0; i < n && same; i++)
        same = ids[i] == json_integer_value(json_array_get(wanted, i));
    return same;
}

// Encode, decode, and expect the same bytes.
static void check_round_trip(const vkssm_tokenizer *tokenizer, const char *text, size_t size) {
    int32_t *ids = NULL;
    size_t n = 0, decoded_size = 0;
    char *decoded = NULL;
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, text, size, false, true, &ids, &n), VKSSM_OK);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, ids, n, false, &decoded, &decoded_size), VKSSM_OK);
    CHECK(decoded && decoded_size == size && memcmp(decoded, text, size) == 0 && decoded[size] == '\0');
    vkssm_free(ids);
    vkssm_free(decoded);
}

// ---- recorded ids --------------------------------------------------------------------------------------------------

CHECK_CASE(golden) {
    json_t *base = read_json("tokenizer.json"), *recorded = read_json("cases.json"), *item, *changes;
    if (!base || !recorded) CHECK_SKIP("VKSSM_TEST_DATA does not name the folder of recorded data");
    json_t *settings = json_object_get(recorded, "settings");
    const char *name;
    size_t i, n_found = 0;
    json_object_foreach(settings, name, changes) {
        json_t *json = change(base, changes);
        vkssm_tokenizer *tokenizer = NULL;
        CHECK_EQ(parse(json, NULL, NULL, &tokenizer), VKSSM_OK);
        json_decref(json);
        json_array_foreach(json_object_get(recorded, "cases"), i, item) {
            if (!tokenizer || strcmp(json_string_value(json_array_get(item, 0)), name) != 0) continue;
            const json_t *text = json_array_get(item, 1);
            int32_t *ids = NULL;
            size_t n = 0;
            CHECK_EQ(vkssm_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), false,
                                            json_is_true(json_array_get(item, 2)), &ids, &n),
                     VKSSM_OK);
            bool same = same_ids(ids, n, json_array_get(item, 3));
            CHECK(same);
            if (!same) CHECK_FAIL("%s: \"%s\"", name, json_string_value(text));
            vkssm_free(ids);
            n_found++;
        }
        vkssm_tokenizer_destroy(&tokenizer);
    }
    CHECK_EQ(n_found, json_array_size(json_object_get(recorded, "cases")));
    json_decref(recorded);
    json_decref(base);
}

// ---- a slow reference ----------------------------------------------------------------------------------------------

// Characters with the class that the GPT-2 pattern sees in them, so that the reference needs no table of Unicode.
typedef struct letter {
    const char *text;
    char class; // l letter, n number, s space, o other
} letter;

static const letter letters[] = {
    {"a", 'l'},          {"e", 'l'},      {"t", 'l'},          {"h", 'l'},      {"s", 'l'},      {"n", 'l'},
    {"T", 'l'},          {"\u00e9", 'l'}, {"\u00df", 'l'},     {"\u0438", 'l'}, {"\u72b6", 'l'}, {"\U0001d4b6", 'l'},
    {"1", 'n'},          {"2", 'n'},      {"\u00b2", 'n'},     {"\u00bd", 'n'}, {"\u0663", 'n'}, {"\u2167", 'n'},
    {" ", 's'},          {" ", 's'},      {" ", 's'},          {"\n", 's'},     {"\t", 's'},     {"\r", 's'},
    {"\xc2\x85", 's'},   {"\u00a0", 's'}, {"\u2003", 's'},     {"\u3000", 's'}, {"\u2028", 's'}, {"'", 'o'},
    {"'", 'o'},          {".", 'o'},      {"!", 'o'},          {"<", 'o'},      {"\u0301", 'o'}, {"\u0323", 'o'},
    {"\U0001f600", 'o'}, {"\u200d", 'o'}, {"\U0001f468", 'o'}, {"\u180e", 'o'}, {"\u200b", 'o'}, {"\x01", 'o'},
    {"_", 'o'},          {"\u20ac", 'o'}};

// 's 't 're 've 'm 'll 'd at letters[at...]: their length, or 0. Only s and t are among the letters.
static size_t contraction(const letter *const *text, size_t n, size_t at) {
    bool found = at + 1 < n && strcmp(text[at]->text, "'") == 0 &&
                 (strcmp(text[at + 1]->text, "s") == 0 || strcmp(text[at + 1]->text, "t") == 0);
    return found ? 2 : 0;
}

// The end of the word that starts at `at`, by the alternatives of the GPT-2 pattern in their order.
static size_t word_end(const letter *const *text, size_t n, size_t at) {
    size_t end = at + contraction(text, n, at);
    if (end > at) return end;
    size_t start = at + (strcmp(text[at]->text, " ") == 0 && at + 1 < n && text[at + 1]->class != 's');
    char class = text[start]->class;
    for (end = start; end < n && text[end]->class == class;)
        end++;
    // Spaces in front of a word leave the last one to it, unless there is only one.
    return class == 's' && end < n && end - at > 1 ? end - 1 : end;
}

// Byte-pair encoding on spelled strings: the pair of lowest rank, leftmost first, until there is none.
typedef struct slow_bpe {
    const json_t *vocab, *merges;
} slow_bpe;

static size_t rank_of(const slow_bpe *bpe, const char *left, const char *right) {
    char pair[512];
    snprintf(pair, sizeof pair, "%s %s", left, right);
    for (size_t i = 0; i < json_array_size(bpe->merges); i++)
        if (strcmp(json_string_value(json_array_get(bpe->merges, i)), pair) == 0) return i;
    return SIZE_MAX;
}

// Code points of the byte alphabet, counted as its definition does.
static void spell_byte(unsigned char byte, char out[3]) {
    unsigned next = 256, found = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        found = printable ? b : next;
        next += !printable;
    }
    out[0] = (char)(found < 0x80 ? found : 0xc0 | found >> 6);
    out[1] = (char)(found < 0x80 ? 0 : 0x80 | (found & 63));
    out[2] = 0;
}

static size_t slow_word(const slow_bpe *bpe, const char *word, size_t size, int32_t *ids) {
    char parts[128][256];
    size_t n = size;
    for (size_t i = 0; i < size; i++)
        spell_byte((unsigned char)word[i], parts[i]);
    for (;;) {
        size_t best = SIZE_MAX, at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t rank = rank_of(bpe, parts[i], parts[i + 1]);
            if (rank >= best) continue;
            best = rank;
            at = i;
        }
        if (best == SIZE_MAX) break;
        size_t n_left = strlen(parts[at]);
        memcpy(parts[at] + n_left, parts[at + 1], strlen(parts[at + 1]) + 1);
        for (size_t i = at + 1; i + 1 < n; i++)
            strcpy(parts[i], parts[i + 1]);
        n--;
    }
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_object_get(bpe->vocab, parts[i]));
    return n;
}

// A made-up vocabulary: all bytes, and random merges of what is there already.
static json_t *random_model(uint64_t *random, size_t n_merge) {
    json_t *vocab = json_object(), *merges = json_array(), *tokens = json_array();
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[3];
        spell_byte((unsigned char)byte, text);
        json_object_set_new(vocab, text, json_integer(byte));
    }
    static const char likely[][3] = {"a",      "e",      "t", "h", "s", "n",     "\u0120",
                                     "\u00c3", "\u00a9", "1", "2", "'", "\u00cc"};
    for (size_t i = 0; i < VKS_COUNT(likely); i++)
        json_array_append_new(tokens, json_string(likely[i]));
    while (json_array_size(merges) < n_merge) {
        const char *left = json_string_value(json_array_get(tokens, check_random(random) % json_array_size(tokens)));
        const char *right = json_string_value(json_array_get(tokens, check_random(random) % json_array_size(tokens)));
        char pair[80], joined[80];
        snprintf(pair, sizeof pair, "%s %s", left, right);
        snprintf(joined, sizeof joined, "%s%s", left, right);
        slow_bpe so_far = {vocab, merges};
        if (strlen(joined) > 16 || rank_of(&so_far, left, right) != SIZE_MAX) continue;
        json_array_append_new(merges, json_string(pair));
        json_array_append_new(tokens, json_string(joined));
        if (!json_object_get(vocab, joined))
            json_object_set_new(vocab, joined, json_integer((json_int_t)json_object_size(vocab)));
    }
    json_decref(tokens);
    json_t *model = json_pack("{s:s, s:o, s:o}", "type", "BPE", "vocab", vocab, "merges", merges);
    return json_pack("{s:o, s:{s:s, s:b}}", "model", model, "pre_tokenizer", "type", "ByteLevel", "add_prefix_space",
                     0);
}

CHECK_CASE(slow_reference) {
    uint64_t random = 20240301;
    for (int round = 0; round < 20; round++) {
        json_t *json = random_model(&random, 30 + (size_t)round * 5), *model = json_object_get(json, "model");
        slow_bpe bpe = {json_object_get(model, "vocab"), json_object_get(model, "merges")};
        vkssm_tokenizer *tokenizer = NULL;
        CHECK_EQ(parse(json, NULL, NULL, &tokenizer), VKSSM_OK);
        for (int sample = 0; tokenizer && sample < 60; sample++) {
            const letter *chosen[40];
            char text[256] = "", word[256];
            int32_t wanted[256], *ids = NULL;
            // Few kinds of letters in some samples, so that words get long.
            size_t n_letter = check_random(&random) % 40, n_kind = sample % 2 ? VKS_COUNT(letters) : 6, n_wanted = 0,
                   n = 0;
            for (size_t i = 0; i < n_letter; i++) {
                chosen[i] = &letters[check_random(&random) % n_kind];
                strcat(text, chosen[i]->text);
            }
            for (size_t i = 0, end; i < n_letter; i = end) {
                end = word_end(chosen, n_letter, i);
                word[0] = '\0';
                for (size_t k = i; k < end; k++)
                    strcat(word, chosen[k]->text);
                n_wanted += slow_word(&bpe, word, strlen(word), wanted + n_wanted);
            }
            CHECK_EQ(vkssm_tokenizer_encode(tokenizer, text, strlen(text), false, false, &ids, &n), VKSSM_OK);
            bool same = n == n_wanted && (n == 0 || memcmp(ids, wanted, n * sizeof *ids) == 0);
            CHECK(same);
            if (!same) CHECK_FAIL("round %d, sample %d: \"%s\"", round, sample, text);
            vkssm_free(ids);
        }
        vkssm_tokenizer_destroy(&tokenizer);
        json_decref(json);
    }
}

// ---- round trips ---------------------------------------------------------------------------------------------------

static size_t put_utf8(uint32_t c, char *out) {
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(lead[n] | c);
    return n;
}

static uint32_t random_code_point(uint64_t *random) {
    static const uint32_t limits[] = {0x80, 0x80, 0x800, 0x3000, 0x10000, 0x110000};
    uint32_t c = (uint32_t)(check_random(random) % limits[check_random(random) % VKS_COUNT(limits)]);
    return c >= 0xd800 && c < 0xe000 ? 0x20 : c; // no surrogates in UTF-8
}

CHECK_CASE(round_trips) {
    json_t *base = read_json("tokenizer.json");
    if (!base) CHECK_SKIP("VKSSM_TEST_DATA does not name the folder of recorded data");
    // [LEFT] and [RIGHT] swallow spaces: they would not come back.
    static const char *const settings[] = {
        "{\"added_tokens\": []}",
        "{\"added_tokens\": [], \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
        "\"ByteLevel\", "
        "\"add_prefix_space\": false}, {\"type\": \"Digits\"}, {\"type\": \"Punctuation\"}]}}"};
    uint64_t random = 77;
    for (size_t s = 0; s < VKS_COUNT(settings); s++) {
        vkssm_tokenizer *tokenizer = make(base, settings[s]);
        for (int sample = 0; tokenizer && sample < 300; sample++) {
            char text[4 * 64];
            size_t size = 0, n = check_random(&random) % 64;
            for (size_t i = 0; i < n; i++)
                size += put_utf8(random_code_point(&random), text + size);
            check_round_trip(tokenizer, text, size);
        }
        vkssm_tokenizer_destroy(&tokenizer);
    }
    json_decref(base);
}

// A word of 100,000 letters: quadratic merging would take minutes, recursion would overflow the stack.
CHECK_CASE(long_words) {
    json_t *base = read_json("tokenizer.json");
    if (!base) CHECK_SKIP("VKSSM_TEST_DATA does not name the folder of recorded data");
    static const char *const parts[] = {"a", "the", "\u0301\u0316", "   ", "<|end|"};
    vkssm_tokenizer *plain = make(base, "{}"), *nfc = make(base, "{\"normalizer\": {\"type\": \"NFC\"}}");
    for (size_t p = 0; plain && nfc && p < VKS_COUNT(parts); p++) {
        size_t n = strlen(parts[p]), size = 100000 / n * n, n_id = 0;
        char *text = malloc(size);
        for (size_t i = 0; i < size; i++)
            text[i] = parts[p][i % n];
        check_round_trip(plain, text, size);
        int32_t *ids = NULL;
        CHECK_EQ(vkssm_tokenizer_encode(nfc, text, size, false, true, &ids, &n_id), VKSSM_OK);
        CHECK(n_id > 0);
        vkssm_free(ids);
        free(text);
    }
    vkssm_tokenizer_destroy(&plain);
    vkssm_tokenizer_destroy(&nfc);
    json_decref(base);
}

// ---- trained tokenizers --------------------------------------------------------------------------------------------

static vkssm_tokenizer *open_zoo(const char *file, char *path, size_t path_size) {
    const char *zoo = getenv("VKSSM_ZOO");
    vkssm_tokenizer *tokenizer = NULL;
    if (!zoo) return NULL;
    snprintf(path, path_size, "%s/stories-mamba2", zoo);
    CHECK_EQ(vkssm_tokenizer_open(path, NULL, &tokenizer), VKSSM_OK);
    snprintf(path, path_size, "%s/stories-mamba2/%s", zoo, file);
    return tokenizer;
}

CHECK_CASE(stories_text) {
    char path[1024];
    vkssm_tokenizer *tokenizer = open_zoo("heldout.txt", path, sizeof path);
    if (!tokenizer) CHECK_SKIP("VKSSM_ZOO does not name the folder of trained models");
    CHECK_EQ(vkssm_tokenizer_n_token(tokenizer), 4096);
    CHECK_EQ(vkssm_tokenizer_bos(tokenizer), 0);
    CHECK_EQ(vkssm_tokenizer_eos(tokenizer), 0);
    CHECK(vkssm_tokenizer_adds_bos(tokenizer));
    vks_file_map text;
    CHECK_EQ(vks_file_map_open(path, NULL, &text), VKSSM_OK);
    CHECK(text.size > 100000);
    check_round_trip(tokenizer, (const char *)text.data, (size_t)text.size);
    vks_file_map_close(&text);
    vkssm_tokenizer_destroy(&tokenizer);
}

CHECK_CASE(stories_golden) {
    static const char *const prompts[] = {
        "Once upon a time, there was a little girl named Lily. She had a red ball and",
        "Tom and his dog Max went to the park. It was a sunny day, and",
        "\"Mom, can I have a cookie?\" asked Ben. His mom smiled and said,",
        "The big bad wolf was not bad at all. He",
    };
    char path[1024], name[32], *text = NULL;
    vkssm_tokenizer *tokenizer = open_zoo("golden.safetensors", path, sizeof path);
    if (!tokenizer) CHECK_SKIP("VKSSM_ZOO does not name the folder of trained models");
    vkssm_tensor_file *file = NULL;
    vkssm_named_tensor tensor = {0};
    int32_t *ids = NULL;
    size_t n = 0, size = 0;
    CHECK_EQ(vkssm_tensor_file_open(path, NULL, &file), VKSSM_OK);
    for (size_t i = 0; file && i < VKS_COUNT(prompts); i++) {
        snprintf(name, sizeof name, "prompt%zu.ids", i);
        CHECK(vkssm_tensor_file_find(file, name, &tensor));
        CHECK_EQ(vkssm_tokenizer_encode(tokenizer, prompts[i], strlen(prompts[i]), true, false, &ids, &n), VKSSM_OK);
        CHECK(n * sizeof *ids == tensor.size && memcmp(ids, tensor.data, tensor.size) == 0);
        vkssm_free(ids);
    }
    CHECK(file && vkssm_tensor_file_find(file, "val.tokens", &tensor) && tensor.size > 4096);
    int32_t *tokens = malloc(tensor.size + 1);
    memcpy(tokens, tensor.data, tensor.size);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, tokens, tensor.size / 4, false, &text, &size), VKSSM_OK);
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, text, size, false, true, &ids, &n), VKSSM_OK);
    CHECK(n * sizeof *ids == tensor.size && memcmp(ids, tokens, tensor.size) == 0);
    vkssm_free(text);
    vkssm_free(ids);
    free(tokens);
    vkssm_tensor_file_destroy(&file);
    vkssm_tokenizer_destroy(&tokenizer);
}

CHECK_CASE(gpt_neox) {
    const char *folder = getenv("VKSSM_TEST_TOKENIZERS");
    if (!folder) CHECK_SKIP("VKSSM_TEST_TOKENIZERS does not name a folder with gpt-neox-20b.json");
    static const struct {
        const char *text;
        size_t n;
        int32_t ids[8];
    } known[] = {{"Hello world", 2, {12092, 1533}},
                 {"The quick brown fox", 4, {510, 3158, 8516, 30013}},
                 {"<|endoftext|>Hello", 2, {0, 12092}},
                 {"                        ", 1, {50254}}};
    char path[1024];
    snprintf(path, sizeof path, "%s/gpt-neox-20b.json", folder);
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(vkssm_tokenizer_open(path, NULL, &tokenizer), VKSSM_OK);
    if (!tokenizer) return;
    CHECK_EQ(vkssm_tokenizer_n_token(tokenizer), 50277);
    for (size_t i = 0; i < VKS_COUNT(known); i++) {
        int32_t *ids = NULL;
        size_t n = 0;
        CHECK_EQ(vkssm_tokenizer_encode(tokenizer, known[i].text, strlen(known[i].text), false, true, &ids, &n),
                 VKSSM_OK);
        CHECK(n == known[i].n && memcmp(ids, known[i].ids, n * sizeof *ids) == 0);
        vkssm_free(ids);
        check_round_trip(tokenizer, known[i].text, strlen(known[i].text));
    }
    vkssm_tokenizer_destroy(&tokenizer);
}

CHECK_CASE(paths) {
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(vkssm_tokenizer_open("no-such-folder/tokenizer.json", NULL, &tokenizer), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), "no-such-folder/tokenizer.json");
    CHECK_EQ(vkssm_tokenizer_open(NULL, NULL, &tokenizer), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_open("x", NULL, NULL), VKSSM_ERR_ARG);
    vkssm_tokenizer_destroy(&tokenizer);
    vkssm_tokenizer_destroy(NULL);
    const char *folder = getenv("VKSSM_TEST_DATA");
    if (!folder) CHECK_SKIP("VKSSM_TEST_DATA does not name the folder of recorded data");
    char path[1024];
    for (int is_file = 0; is_file < 2; is_file++) {
        snprintf(path, sizeof path, "%s/tokenizer%s", folder, is_file ? "/tokenizer.json" : "");
        CHECK_EQ(vkssm_tokenizer_open(path, NULL, &tokenizer), VKSSM_OK);
        CHECK_EQ(vkssm_tokenizer_n_token(tokenizer), 471);
        vkssm_tokenizer_destroy(&tokenizer);
        CHECK(tokenizer == NULL);
    }
    CHECK_EQ(vkssm_tokenizer_open(folder, NULL, &tokenizer), VKSSM_ERR_IO); // a folder without a tokenizer.json
}

// ---- calls ---------------------------------------------------------------------------------------------------------

CHECK_CASE(find_and_decode) {
    json_t *base = json_loads(SMALL(""), 0, NULL);
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(parse(base, NULL, NULL, &tokenizer), VKSSM_OK);
    CHECK_EQ(vkssm_tokenizer_n_token(tokenizer), 10);
    static const struct {
        const char *text;
        int32_t id;
    } found[] = {{"a", 0}, {"b", 1},     {"ab", 2}, {"aba", 4}, {"<s>", 7},   {"\u2603", 9}, {"c", -1},
                 {"", -1}, {"abab", -1}, {" ", -1}, {"a ", -1}, {"\xff", -1}, {"a\xc3", -1}};
    for (size_t i = 0; i < VKS_COUNT(found); i++)
        CHECK_EQ(vkssm_tokenizer_find(tokenizer, found[i].text), found[i].id);
    const int32_t ids[] = {2, 7, 9, 0, 7};
    char *text = NULL;
    size_t size = 0;
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, ids, 5, false, &text, &size), VKSSM_OK);
    CHECK_STR(text, "ab<s>\u2603a<s>");
    vkssm_free(text);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, ids, 5, true, &text, &size), VKSSM_OK);
    CHECK_STR(text, "ab\u2603a");
    CHECK_EQ(size, 6);
    vkssm_free(text);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, NULL, 0, false, &text, &size), VKSSM_OK);
    CHECK_STR(text, "");
    vkssm_free(text);
    const int32_t wrong[] = {-1, 3, 8, 10, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < VKS_COUNT(wrong); i++) {
        const int32_t pair[] = {0, wrong[i]};
        char part[64];
        snprintf(part, sizeof part, "ids[1]: expected an id of a token below 10, found %d", (int)wrong[i]);
        CHECK_EQ(vkssm_tokenizer_decode(tokenizer, pair, 2, false, &text, &size), VKSSM_ERR_ARG);
        CHECK_CONTAINS(vkssm_last_error(), part);
        CHECK(text == NULL && size == 0);
    }
    CHECK_EQ(vkssm_tokenizer_decode(NULL, ids, 1, false, &text, &size), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, NULL, 1, false, &text, &size), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_decode(tokenizer, ids, 1, false, NULL, &size), VKSSM_ERR_ARG);
    int32_t *out = NULL;
    CHECK_EQ(vkssm_tokenizer_encode(NULL, "a", 1, false, false, &out, &size), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, NULL, 1, false, false, &out, &size), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, "a", 1, false, false, NULL, &size), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, "a", 1, false, false, &out, NULL), VKSSM_ERR_ARG);
    vkssm_tokenizer_destroy(&tokenizer);
    json_decref(base);
}

CHECK_CASE(bad_utf8) {
    static const struct {
        const char *text;
        size_t size;
        int offset; // of the first bad byte, or -1
    } cases[] = {{"\xff", 1, 0},
                 {"ab\x80", 3, 2},
                 {"a\xc3", 2, 1},
                 {"\xc0\x80", 2, 0},
                 {"\xe0\x80\x80", 3, 0},
                 {"\xed\xa0\x80", 3, 0},
                 {"\xe2\x98", 2, 0},
                 {"\xf4\x90\x80\x80", 4, 0},
                 {"\xf0\x9f\x98", 3, 0},
                 {"\xc3\xa9\xc3(", 4, 2},
                 {"\xf8\x88\x80\x80\x80", 5, 0},
                 {"\xef\xbf\xbf", 3, -1},
                 {"\xf4\x8f\xbf\xbf", 4, -1},
                 {"a\0b", 3, -1},
                 {"\xed\x9f\xbf", 3, -1}};
    json_t *base = json_loads(SMALL(""), 0, NULL);
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(parse(base, NULL, NULL, &tokenizer), VKSSM_OK);
    for (size_t i = 0; tokenizer && i < VKS_COUNT(cases); i++) {
        char *text = malloc(cases[i].size), part[32]; // exact size: reading on is seen
        memcpy(text, cases[i].text, cases[i].size);
        int32_t *ids = NULL;
        size_t n = 0;
        vkssm_status status = vkssm_tokenizer_encode(tokenizer, text, cases[i].size, false, false, &ids, &n);
        CHECK_EQ(status, cases[i].offset < 0 ? VKSSM_OK : VKSSM_ERR_FORMAT);
        snprintf(part, sizeof part, "at offset %d of", cases[i].offset);
        if (cases[i].offset >= 0) CHECK_CONTAINS(vkssm_last_error(), part);
        vkssm_free(ids);
        free(text);
    }
    vkssm_tokenizer_destroy(&tokenizer);
    json_decref(base);
}

// Bytes without a token: dropped, or unk_token for each, or one unk_token for all neighbours.
CHECK_CASE(missing_bytes) {
    static const struct {
        const char *changes;
        size_t n;
        int32_t ids[8];
    } cases[] = {{"{}", 3, {2, 1, 4}},
                 {MODEL("\"unk_token\": \"b\""), 7, {2, 1, 1, 1, 1, 1, 4}}, // a, unk merges into ab as a, b does
                 {MODEL("\"unk_token\": \"<s>\""), 7, {2, 7, 7, 1, 7, 7, 4}},
                 {MODEL("\"unk_token\": \"<s>\", \"fuse_unk\": true"), 5, {2, 7, 1, 7, 4}}};
    json_t *base = json_loads(SMALL(""), 0, NULL);
    for (size_t i = 0; i < VKS_COUNT(cases); i++) {
        vkssm_tokenizer *tokenizer = NULL;
        json_t *changes = json_loads(cases[i].changes, 0, NULL), *json = change(base, changes);
        CHECK_EQ(parse(json, NULL, NULL, &tokenizer), VKSSM_OK);
        int32_t *ids = NULL;
        size_t n = 0;
        if (tokenizer) CHECK_EQ(vkssm_tokenizer_encode(tokenizer, "abxybxyaba", 10, false, false, &ids, &n), VKSSM_OK);
        CHECK_EQ(n, cases[i].n);
        for (size_t k = 0; k < n && k < cases[i].n; k++)
            CHECK_EQ(ids[k], cases[i].ids[k]);
        vkssm_free(ids);
        vkssm_tokenizer_destroy(&tokenizer);
        json_decref(json);
        json_decref(changes);
    }
    json_decref(base);
}

// Cut a text by one step; `words` are the pieces, with | between them.
static void check_cuts(vks_pretoken_step step, const char *pattern, const char *text, const char *words) {
    vks_pretokenizer pre = {0};
    vks_pretoken_work work = {0};
    char found[256] = "";
    CHECK(vks_pattern_env_init(&pre.env));
    CHECK_EQ(vks_pattern_compile(&pre.env, "test", pattern, strlen(pattern), false, NULL, &step.pattern), VKSSM_OK);
    CHECK(step.pattern && vks_pretokenizer_add(&pre, step));
    CHECK_EQ(vks_pretokenize(&pre, text, strlen(text), NULL, &work), VKSSM_OK);
    for (size_t k = 0; k < work.spans.n; k++) {
        if (k) strcat(found, "|");
        strncat(found, work.text + work.spans.items[k].start, work.spans.items[k].end - work.spans.items[k].start);
    }
    CHECK_STR(found, words);
    vks_pretoken_work_finish(&work);
    vks_pretokenizer_finish(&pre);
}

// Patterns as tokenizer files write them, and where the two engines would differ if nothing were translated.
CHECK_CASE(patterns) {
    static const struct {
        const char *pattern, *text, *words;
    } cases[] = {
        {"\\s",
         "a\u180eb\xc2\x85"
         "c",
         "a\u180eb|\xc2\x85|c"},
        {"[\\S]", "a\u180e b", "a|\u180e| |b"},
        {"\\S+", "ab\u3000c", "ab|\u3000|c"},
        {"\\w+", "e\u0301_1\u203f\u24d0-x", "e\u0301_1\u203f\u24d0|-|x"},
        {"\\W", "a-b", "a|-|b"},
        {"\\h+", "xbeef12g", "x|beef12|g"},
        {"\\H+", "xbeef12g", "x|beef12|g"},
        {"\\d+|\\D+", "a12\u0663\u00b2", "a|12\u0663|\u00b2"},
        {"\\bcat\\b", "cat concat cat", "cat| concat |cat"},
        {"[\\s-z]", "a-z b", "a|-|z| |b"},
        {"[a-c\\s-]", "xb -y", "x|b| |-|y"},
        {"[+-\\s]", "a+b-c d", "a|+|b|-|c| |d"},
        {"\\p{Han}+", "a\u72b6\u614b\u3001\u30a2", "a|\u72b6\u614b|\u3001\u30a2"},
        {"\\p{^L}", "a1", "a|1"},
        {"\\P{L}", "a1", "a|1"},
        {"a{,2}b", "aaab", "a|aab"},
        {"x{,}|y{|z{a}", "x{,}y{z{a}", "x{,}|y{|z{a}"},
        {"\\u00e9|\\x{e8}|\\x41", "\u00e9\u00e8AB", "\u00e9|\u00e8|A|B"},
        {"^a|b$", "a\nab\nb", "a|\n|a|b|\n|b"},
        {".+", "a\r\u2028b\nc", "a\r\u2028b|\n|c"},
        {"(?i:'S)|(?<=x)y|(?<!x)z|(?>ab)c", "'sxyxzzabc", "'s|x|y|xz|z|abc"},
        {"", "ab", "a|b"},
        {"x*", "axb", "a|x|b"},
        {"\\v", "a\nb\x0b", "a\nb|\x0b"},
        {"[\\]\\-\\[]", "a]b-c[", "a|]|b|-|c|["},
    };
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        check_cuts((vks_pretoken_step){.behavior = VKS_SPLIT_ISOLATED}, cases[i].pattern, cases[i].text,
                   cases[i].words);
}

CHECK_CASE(behaviors) {
    static const struct {
        vks_split_behavior behavior;
        bool invert;
        const char *words;
    } cases[] = {
        {VKS_SPLIT_ISOLATED, false, "1|2|ab|3|c|4|5|6"},
        {VKS_SPLIT_ISOLATED, true, "1|2|ab|3|c|4|5|6"},
        {VKS_SPLIT_REMOVED, false, "ab|c"},
        {VKS_SPLIT_REMOVED, true, "1|2|3|4|5|6"},
        {VKS_SPLIT_MERGED_WITH_PREVIOUS, false, "1|2|ab3|c4|5|6"},
        {VKS_SPLIT_MERGED_WITH_PREVIOUS, true, "1|2ab|3c|4|5|6"},
        {VKS_SPLIT_MERGED_WITH_NEXT, false, "1|2ab|3c|4|5|6"},
        {VKS_SPLIT_MERGED_WITH_NEXT, true, "1|2|ab3|c4|5|6"},
        {VKS_SPLIT_CONTIGUOUS, false, "12|ab|3|c|456"},
        {VKS_SPLIT_CONTIGUOUS, true, "12|ab|3|c|456"},
    };
    for (size_t i = 0; i < VKS_COUNT(cases); i++)
        check_cuts((vks_pretoken_step){.behavior = cases[i].behavior, .invert = cases[i].invert}, "[0-9]", "12ab3c456",
                   cases[i].words);
}

// A pattern that backtracks without end stops at the limit with an error.
CHECK_CASE(hostile_pattern) {
    json_t *base = json_loads(SMALL(""), 0, NULL), *changes, *json;
    changes =
        json_loads(PRE("{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": \"Isolated\", "
                       "\"pattern\": {\"Regex\": \"(a|aa)+[bd]\"}}, {\"type\": \"ByteLevel\"}]}"),
                   0, NULL);
    json = change(base, changes);
    vkssm_tokenizer *tokenizer = NULL;
    CHECK_EQ(parse(json, NULL, NULL, &tokenizer), VKSSM_OK);
    char text[200];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'c';
    int32_t *ids = NULL;
    size_t n = 0;
    CHECK_EQ(vkssm_tokenizer_encode(tokenizer, text, sizeof text, false, false, &ids, &n), VKSSM_ERR_UNSUPPORTED);
    CHECK_CONTAINS(vkssm_last_error(), "exceeds the limits of matching");
    vkssm_tokenizer_destroy(&tokenizer);
    json_decref(json);
    json_decref(changes);
    json_decref(base);
}

// ---- out of memory -------------------------------------------------------------------------------------------------

// Every n-th allocation of opening, encoding and decoding fails once: an error or a full result, and nothing stays.
CHECK_CASE(out_of_memory) {
    json_t *base = read_json("tokenizer.json"), *changes, *json;
    if (!base) CHECK_SKIP("VKSSM_TEST_DATA does not name the folder of recorded data");
    changes = json_loads(
        "{\"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": "
        "[{\"type\": \"Split\", \"behavior\": \"MergedWithNext\", \"pattern\": {\"Regex\": \"\\\\p{Han}\"}}, "
        "{\"type\": \"ByteLevel\"}, {\"type\": \"Digits\"}]}}",
        0, NULL);
    json = change(base, changes);
    char *file = json_dumps(json, JSON_COMPACT);
    static const char config[] = "{\"bos_token\": \"<|end|>\", \"add_bos_token\": true}";
    static const char text[] =
        "the cafe\u0301! states <|end|> 123\u72b6\u614b   whole and a much longer end of the text";
    uint64_t n_live = vks_alloc_n_live(), n_failed = 0;
    for (bool done = false; !done; n_failed += !done) {
        vkssm_tokenizer *tokenizer = NULL;
        int32_t *ids = NULL;
        size_t n = 0, size = 0;
        char *decoded = NULL;
        vks_alloc_fail_after(n_failed);
        vkssm_status status =
            vks_tokenizer_parse("t", file, strlen(file), "c", config, strlen(config), NULL, &tokenizer);
        if (status == VKSSM_OK) status = vkssm_tokenizer_encode(tokenizer, text, sizeof text - 1, true, true, &ids, &n);
        if (status == VKSSM_OK) status = vkssm_tokenizer_decode(tokenizer, ids, n, false, &decoded, &size);
        vks_alloc_fail_after(UINT64_MAX);
        done = status == VKSSM_OK;
        if (!done) {
            CHECK_EQ(status, VKSSM_ERR_OOM_HOST);
            CHECK_CONTAINS(vkssm_last_error(), "out of memory");
            CHECK(!decoded && (!tokenizer || n_failed > 20)); // opening alone takes more than that
        } else {
            CHECK(n > 20 && size > sizeof text);
        }
        vkssm_free(decoded);
        vkssm_free(ids);
        vkssm_tokenizer_destroy(&tokenizer);
        CHECK_EQ(vks_alloc_n_live(), n_live);
    }
    CHECK(n_failed > 30);
    free(file);
    json_decref(json);
    json_decref(changes);
    json_decref(base);
    // The public call has paths to build before it reads.
    for (uint64_t i = 0; i < 3; i++) {
        vkssm_tokenizer *tokenizer = NULL;
        vks_alloc_fail_after(i);
        CHECK_EQ(vkssm_tokenizer_open("some/file.json", NULL, &tokenizer), VKSSM_ERR_OOM_HOST);
        vks_alloc_fail_after(UINT64_MAX);
        CHECK_EQ(vks_alloc_n_live(), n_live);
    }
}

int main(int argc, char **argv) {
    static const check_case cases[] = {
        CHECK_RUN(golden),          CHECK_RUN(slow_reference),  CHECK_RUN(round_trips),   CHECK_RUN(long_words),
        CHECK_RUN(stories_text),    CHECK_RUN(stories_golden),  CHECK_RUN(gpt_neox),      CHECK_RUN(paths),
        CHECK_RUN(find_and_decode), CHECK_RUN(bad_utf8),        CHECK_RUN(missing_bytes), CHECK_RUN(patterns),
        CHECK_RUN(behaviors),       CHECK_RUN(hostile_pattern), CHECK_RUN(out_of_memory), {0}};
    return check_main(argc, argv, cases);
}
