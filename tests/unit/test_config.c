// config.json: types, ranges, paths, Python's numbers, and messages that name file and key.
#define _XOPEN_SOURCE 700
#include "harness/check.h"
#include "harness/files.h"

#include <float.h>
#include <math.h>

#include "host/base/alloc.h"
#include "models/io/config.h"

static const char *const sample =
    "{\"zero\":0,\"four\":4.0,\"half\":4.5,\"minus\":-7,\"max\":4294967295,\"over\":4294967296,\"min\":-2147483648,\n"
    " \"big\":1000000000000000019884624838656,\"tenth\":0.1,\"exp\":1e3,\"tiny\":1e-60,\"wide\":1e39,\"none\":null,\n"
    " \"nan\":NaN,\"inf\":Infinity,\"neg\":-Infinity,\"obj\":{\"__float__\":\"Infinity\"},\n"
    " \"objn\":{\"__float__\":\"-Infinity\"},\"objnan\":{\"__float__\":\"NaN\"},\"objbad\":{\"__float__\":\"Inf\"},\n"
    " \"obj2\":{\"__float__\":\"Infinity\",\"x\":1},\"objnum\":{\"__float__\":1},\"yes\":true,\"no\":false,\n"
    " \"text\":\"NaN, \\\"Infinity\\\", -Infinity "
    "\\\\\",\"list\":[0.5,Infinity],\"mixed\":[1,\"two\",NaN],\"empty\":[],\n"
    " \"ssm_cfg\":{\"d_state\":128,\"deep\":{\"er\":true},\"gone\":null},\"ssm\":1,\"Infinity\":1,\"\":2}";

static vks_config *config; // of `sample`, for the cases

CHECK_CASE(integers) {
    uint32_t u = 99;
    int32_t i = 99;
    CHECK_EQ(vks_config_u32(config, "zero", 0, 10, &u), VKSSM_OK);
    CHECK_EQ(u, 0);
    CHECK_EQ(vks_config_u32(config, "four", 4, 4, &u), VKSSM_OK);
    CHECK_EQ(u, 4);
    CHECK_EQ(vks_config_u32(config, "exp", 0, 1000, &u), VKSSM_OK);
    CHECK_EQ(u, 1000);
    CHECK_EQ(vks_config_u32(config, "max", 0, UINT32_MAX, &u), VKSSM_OK);
    CHECK_EQ(u, UINT32_MAX);
    CHECK_EQ(vks_config_i32(config, "min", INT32_MIN, INT32_MAX, &i), VKSSM_OK);
    CHECK_EQ(i, INT32_MIN);
    CHECK_EQ(vks_config_i32(config, "minus", -7, -7, &i), VKSSM_OK);
    CHECK_EQ(i, -7);
    u = 5;
    CHECK_EQ(vks_config_u32(config, "absent", 0, 1, &u), VKSSM_OK); // a default may lie outside the range
    CHECK_EQ(vks_config_u32(config, "none", 0, 1, &u), VKSSM_OK);
    CHECK_EQ(u, 5);
    static const char *const bad[][2] = {{"half", "4.5"},          {"minus", "-7"},        {"over", "4294967296"},
                                         {"big", "1e+30"},         {"text", "\"NaN"},      {"yes", "true"},
                                         {"list", "an array"},     {"nan", "nan"},         {"inf", "inf"},
                                         {"ssm_cfg", "an object"}, {"objbad", "an object"}};
    for (size_t k = 0; k < VKS_COUNT(bad); k++) {
        char finding[64];
        snprintf(finding, sizeof finding, "key \"%s\" is %s", bad[k][0], bad[k][1]);
        CHECK_EQ(vks_config_u32(config, bad[k][0], 0, UINT32_MAX, &u), VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), "sample.json: ");
        CHECK_CONTAINS(vkssm_last_error(), finding);
        CHECK_CONTAINS(vkssm_last_error(), "expected an integer in [0, 4294967295]");
    }
    CHECK_EQ(u, 5);
    CHECK_EQ(vks_config_u32(config, "four", 5, 9, &u), VKSSM_ERR_FORMAT);
    CHECK_EQ(vks_config_u32(config, "four", 0, 3, &u), VKSSM_ERR_FORMAT);
    CHECK_EQ(vks_config_i32(config, "max", INT32_MIN, INT32_MAX, &i), VKSSM_ERR_FORMAT);
    CHECK_EQ(vks_config_i32(config, "minus", -6, 0, &i), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "expected an integer in [-6, 0]");
    CHECK_EQ(i, -7);
}

static float read_f32(const char *key, float min, float max) {
    float value = 42;
    CHECK_EQ(vks_config_f32(config, key, min, max, &value), VKSSM_OK);
    return value;
}

static void check_f32_fails(const char *key, float min, float max, const char *finding) {
    float value = 42;
    CHECK_EQ(vks_config_f32(config, key, min, max, &value), VKSSM_ERR_FORMAT);
    CHECK(value == 42);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"");
    CHECK_CONTAINS(vkssm_last_error(), key);
    CHECK_CONTAINS(vkssm_last_error(), finding);
}

CHECK_CASE(floats) {
    CHECK(read_f32("half", 0, 10) == 4.5f);
    CHECK(read_f32("four", 4, 4) == 4);
    CHECK(read_f32("minus", -INFINITY, 0) == -7);
    CHECK(read_f32("tenth", 0.1f, 0.1f) == 0.1f); // though the double 0.1 is less than the float
    CHECK(read_f32("tiny", 0, 1) == 0);
    CHECK(read_f32("big", 0, FLT_MAX) == 1e30f);
    CHECK(read_f32("inf", 0, INFINITY) == INFINITY);
    CHECK(read_f32("obj", 0, INFINITY) == INFINITY);
    CHECK(read_f32("neg", -INFINITY, 0) == -INFINITY);
    CHECK(read_f32("objn", -INFINITY, 0) == -INFINITY);
    CHECK(read_f32("absent", 0, 1) == 42);
    CHECK(read_f32("none", 0, 1) == 42);
    check_f32_fails("nan", -INFINITY, INFINITY, "is nan, expected a float32 number in [-inf, inf]");
    check_f32_fails("objnan", -INFINITY, INFINITY, "is nan");
    check_f32_fails("inf", 0, FLT_MAX, "is inf");
    check_f32_fails("obj", 0, 1, "is inf, expected a float32 number in [0, 1]");
    check_f32_fails("objn", 0, INFINITY, "is -inf");
    check_f32_fails("wide", 0, INFINITY, "is 1e+39"); // no float32, and not infinity either
    check_f32_fails("tiny", FLT_MIN, 1, "is 1e-60");
    check_f32_fails("minus", 0, 1, "is -7");
    check_f32_fails("objbad", 0, INFINITY, "is an object");
    check_f32_fails("obj2", 0, INFINITY, "is an object");
    check_f32_fails("objnum", 0, INFINITY, "is an object");
    check_f32_fails("ssm_cfg", 0, INFINITY, "is an object");
    check_f32_fails("yes", 0, 1, "is true");
    check_f32_fails("text", 0, 1, "is \"NaN");
}

CHECK_CASE(arrays) {
    float values[2] = {7, 8};
    uint32_t n = 9;
    CHECK_EQ(vks_config_f32_array(config, "absent", 0, 1, 2, values), VKSSM_OK);
    CHECK_EQ(vks_config_f32_array(config, "list", 0, 1, 2, values), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"list\"[1] is inf, expected a float32 number in [0, 1]");
    CHECK_EQ(vks_config_f32_array(config, "list", 0, INFINITY, 3, values), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "key \"list\" is an array of 2, expected an array of 3 numbers");
    CHECK_EQ(vks_config_f32_array(config, "half", 0, INFINITY, 1, values), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "key \"half\" is 4.5, expected an array of 1 numbers");
    CHECK_EQ(vks_config_f32_array(config, "mixed", 0, INFINITY, 3, values), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "key \"mixed\"[1] is \"two\"");
    CHECK(values[0] == 7 && values[1] == 8); // nothing was written so far
    CHECK_EQ(vks_config_f32_array(config, "list", 0, INFINITY, 2, values), VKSSM_OK);
    CHECK(values[0] == 0.5f && values[1] == INFINITY);
    CHECK_EQ(vks_config_array_size(config, "list", &n), VKSSM_OK);
    CHECK_EQ(n, 2);
    CHECK_EQ(vks_config_array_size(config, "empty", &n), VKSSM_OK);
    CHECK_EQ(n, 0);
    n = 9;
    CHECK_EQ(vks_config_array_size(config, "absent", &n), VKSSM_OK);
    CHECK_EQ(n, 0);
    CHECK_EQ(vks_config_array_size(config, "text", &n), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"text\" is");
}

CHECK_CASE(bools_and_strings) {
    bool flag = false;
    const char *text = "default";
    CHECK_EQ(vks_config_bool(config, "yes", &flag), VKSSM_OK);
    CHECK(flag);
    CHECK_EQ(vks_config_bool(config, "absent", &flag), VKSSM_OK);
    CHECK(flag);
    CHECK_EQ(vks_config_bool(config, "no", &flag), VKSSM_OK);
    CHECK(!flag);
    CHECK_EQ(vks_config_bool(config, "zero", &flag), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"zero\" is 0, expected true or false");
    CHECK_EQ(vks_config_string(config, "none", &text), VKSSM_OK);
    CHECK_STR(text, "default");
    CHECK_EQ(vks_config_string(config, "text", &text), VKSSM_OK);
    CHECK_STR(text, "NaN, \"Infinity\", -Infinity \\"); // literals inside strings stay
    CHECK_EQ(vks_config_string(config, "half", &text), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"half\" is 4.5, expected a string");
}

CHECK_CASE(paths) {
    uint32_t u = 0;
    bool flag = false;
    CHECK_EQ(vks_config_u32(config, "ssm_cfg.d_state", 1, 256, &u), VKSSM_OK);
    CHECK_EQ(u, 128);
    CHECK_EQ(vks_config_bool(config, "ssm_cfg.deep.er", &flag), VKSSM_OK);
    CHECK(flag);
    CHECK(vks_config_has(config, "ssm_cfg.deep"));
    CHECK(vks_config_has(config, "Infinity"));
    CHECK(vks_config_has(config, ""));
    static const char *const absent[] = {"ssm_cf", "ssm_cfgs", "ssm_cfg.d", "ssm_cfg.gone", "ssm_cfg.gone.x",  "none",
                                         "none.x", "zero.x",   ".",         "ssm_cfg.",     "ssm_cfg..d_state"};
    for (size_t i = 0; i < VKS_COUNT(absent); i++)
        CHECK(!vks_config_has(config, absent[i]));
    CHECK_EQ(vks_config_u32(config, "ssm_cfg.gone.x", 0, 1, &u), VKSSM_OK);
    CHECK_EQ(vks_config_u32(config, "zero.x.y", 0, 1, &u), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"zero\" is 0, expected an object");
    CHECK_EQ(vks_config_u32(config, "ssm_cfg.d_state.x", 0, 1, &u), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "sample.json: key \"ssm_cfg.d_state\" is 128, expected an object");
    CHECK_EQ(vks_config_require(config, "ssm_cfg.d_state"), VKSSM_OK);
    CHECK_EQ(vks_config_require(config, "ssm_cfg.gone"), VKSSM_ERR_FORMAT);
    CHECK_STR(vkssm_last_error(), "sample.json: key \"ssm_cfg.gone\" is missing");
    CHECK_EQ(u, 128);
}

// ---- whole files ----------------------------------------------------------------------------------------------------

// `text` from exactly as much heap as it has.
static vkssm_status parse_status(const char *text) {
    size_t size = strlen(text);
    char *copy = malloc(size + (size == 0));
    memcpy(copy, text, size);
    uint64_t n_live = vks_alloc_n_live();
    vks_config *parsed = (vks_config *)&parsed; // must be overwritten
    vkssm_status status = vks_config_parse("bad.json", copy, size, NULL, &parsed);
    CHECK((status == VKSSM_OK) == (parsed != NULL));
    vks_config_destroy(&parsed);
    CHECK(parsed == NULL);
    CHECK_EQ(vks_alloc_n_live(), n_live);
    free(copy);
    return status;
}

CHECK_CASE(json_refused) {
    static const char *const bad[][2] = {
        {"", "empty"},
        {"[]", "the top level of the file is an array of 0, expected a JSON object"},
        {"NaN", "the top level of the file is NaN, expected a JSON object"},
        {" \n-Infinity ", "the top level of the file is -Infinity, expected a JSON object"},
        {"{", "line 1"},
        {"{\n\n}}", "line 3"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"a\":{\"b\":1,\"b\":2}}", "duplicate"},
        {"{\"a\":1e999}", "overflow"},
        {"{\"a\":NaNo}", "line 1"},
        {"{\"a\":-NaN}", "line 1"},
        {"{\"a\":+Infinity}", "line 1"},
        {"{\"a\":1NaN}", "line 1"},
        {"{\"a\":nan}", "line 1"},
        {"{NaN:1}", "line 1"},
        {"{\"a\":\"\\", "line 1"},
        {"{\"a\":\"\xff\"}", "0xff"},
        {"{\"a\":'b'}", "line 1"},
        {"{\"a\":1,}", "line 1"},
        {"{\"a\":-Infinit", "line 1"},
        {"{\"a\":-Infinity", "line 1"},
    };
    for (size_t i = 0; i < VKS_COUNT(bad); i++) {
        int failed_before = check_n_failed;
        CHECK_EQ(parse_status(bad[i][0]), VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), "bad.json: ");
        CHECK_CONTAINS(vkssm_last_error(), bad[i][1]);
        if (check_n_failed != failed_before) printf("  in %s\n", bad[i][0]);
    }
    CHECK_EQ(parse_status(" {} "), VKSSM_OK);
    CHECK_EQ(parse_status("{\"a\":1000000000000000019884624838656}"), VKSSM_OK); // as Python's integers may be
    CHECK_EQ(parse_status("{\"a\":[NaN,NaN ,-Infinity],\"b\":Infinity}"), VKSSM_OK);
}

CHECK_CASE(deep_nesting) {
    enum { DEPTH = 1000000 };
    char *text = malloc(5 + DEPTH + 1);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', DEPTH);
    text[5 + DEPTH] = 0;
    CHECK_EQ(parse_status(text), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "bad.json: the file is not valid JSON");
    CHECK_CONTAINS(vkssm_last_error(), "depth");
    free(text);
}

CHECK_CASE(files) {
    vks_config *opened;
    uint32_t u = 0;
    CHECK(files_write("config.json", "{\"a\":3,\"x\":Infinity}", 20));
    CHECK_EQ(vks_config_open(files_path("config.json"), NULL, &opened), VKSSM_OK);
    CHECK_STR(vks_config_path(opened), files_path("config.json"));
    CHECK_EQ(vks_config_u32(opened, "a", 0, 9, &u), VKSSM_OK);
    CHECK_EQ(u, 3);
    CHECK_EQ(vks_config_u32(opened, "x", 0, 9, &u), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), files_path("config.json"));
    vks_config_destroy(&opened);
    CHECK_EQ(vks_config_open(files_path("absent.json"), NULL, &opened), VKSSM_ERR_IO);
    CHECK(opened == NULL);
    CHECK_CONTAINS(vkssm_last_error(), "absent.json");
    CHECK_EQ(vks_config_open(files_folder, NULL, &opened), VKSSM_ERR_IO);
    CHECK(files_write("empty.json", "", 0));
    CHECK_EQ(vks_config_open(files_path("empty.json"), NULL, &opened), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "empty.json: the file is empty");
    CHECK(files_write("large.json", "{}", 2));
    CHECK(truncate(files_path("large.json"), (64 << 20) + 1) == 0); // sparse, and none of it is read
    CHECK_EQ(vks_config_open(files_path("large.json"), NULL, &opened), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "large.json: the file has 67108865 bytes, expected at most 67108864");
}

static void count_messages(void *user, vkssm_log_level level, const char *message) {
    if (level == VKSSM_LOG_ERROR && strstr(message, "bad.json")) ++*(int *)user;
}

CHECK_CASE(log_is_copied) {
    int n = 0;
    vks_config *parsed;
    vkssm_log log = {.callback = count_messages, .user = &n};
    CHECK_EQ(vks_config_parse("bad.json", "{", 1, &log, &parsed), VKSSM_ERR_FORMAT);
    CHECK_EQ(n, 1);
    CHECK_EQ(vks_config_parse("bad.json", "{}", 2, &log, &parsed), VKSSM_OK);
    memset(&log, 0, sizeof log);
    CHECK(vks_config_log(parsed)->callback == count_messages);
    CHECK_EQ(vks_config_require(parsed, "a"), VKSSM_ERR_FORMAT);
    CHECK_EQ(n, 2);
    vks_config_destroy(&parsed);
}

CHECK_CASE(out_of_memory) {
    uint64_t n_live = vks_alloc_n_live(), n = 0;
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    CHECK(files_write("config.json", sample, strlen(sample)));
    for (; n < 100 && status != VKSSM_OK; n++) {
        vks_config *opened;
        vks_alloc_fail_after(n);
        status = vks_config_open(files_path("config.json"), NULL, &opened);
        vks_alloc_fail_after(UINT64_MAX);
        CHECK(status == VKSSM_OK || status == VKSSM_ERR_OOM_HOST);
        if (status != VKSSM_OK) CHECK_CONTAINS(vkssm_last_error(), "config.json: out of memory");
        vks_config_destroy(&opened);
        CHECK_EQ(vks_alloc_n_live(), n_live);
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 2); // else nothing was made to fail
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    if (vks_config_parse("sample.json", sample, strlen(sample), NULL, &config) != VKSSM_OK) {
        printf("%s\n", vkssm_last_error());
        files_end();
        return 1;
    }
    int result = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(integers),
                                           CHECK_RUN(floats),
                                           CHECK_RUN(arrays),
                                           CHECK_RUN(bools_and_strings),
                                           CHECK_RUN(paths),
                                           CHECK_RUN(json_refused),
                                           CHECK_RUN(deep_nesting),
                                           CHECK_RUN(files),
                                           CHECK_RUN(log_is_copied),
                                           CHECK_RUN(out_of_memory),
                                           {0}});
    vks_config_destroy(&config);
    files_end();
    return result;
}
