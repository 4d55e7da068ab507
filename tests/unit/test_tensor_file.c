// Safetensors files: round trips, and every rule of the format broken once.
#define _XOPEN_SOURCE 700
#include "harness/check.h"
#include "harness/files.h"

#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

#include "host/base/alloc.h"
#include "models/io/safetensors.h"
#include "models/io/weights.h"

// A safetensors file in exactly *size bytes of heap; the data bytes count upwards.
static uint8_t *make_file(const char *header, size_t data_size, size_t *size) {
    size_t n = strlen(header);
    *size = 8 + n + data_size;
    uint8_t *file = malloc(*size);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data_size; i++)
        file[8 + n + i] = (uint8_t)i;
    return file;
}

static bool write_file(const char *name, const char *header, size_t data_size) {
    size_t size;
    uint8_t *file = make_file(header, data_size, &size);
    bool ok = files_write(name, file, size);
    free(file);
    return ok;
}

static bool write_text(const char *name, const char *text) {
    return files_write(name, text, strlen(text));
}

// Status of opening files_path(name); nothing may stay allocated.
static vkssm_status open_status(const char *path) {
    vkssm_tensor_file *file = (vkssm_tensor_file *)&file; // must be overwritten
    vkssm_status status = vkssm_tensor_file_open(path, NULL, &file);
    CHECK((status == VKSSM_OK) == (file != NULL));
    vkssm_tensor_file_destroy(&file);
    CHECK(file == NULL);
    CHECK_EQ(vks_alloc_n_live(), 0);
    return status;
}

static uint64_t product(const vkssm_named_tensor *tensor) {
    uint64_t n = vkssm_dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < tensor->n_dim; i++)
        n *= tensor->shape[i];
    return n;
}

// ---- round trips ----------------------------------------------------------------------------------------------------

static const uint8_t bytes[256] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                   13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

// One tensor of every data type, with names that need escaping and shapes from scalar to eight dimensions.
#define N_DTYPE (VKSSM_DTYPE_BOOL + 1) // block types, which follow, have no place in safetensors
#define N_ROUND_TRIP (N_DTYPE + 4)
static void round_trip_tensors(vkssm_named_tensor tensors[N_ROUND_TRIP]) {
    static char names[N_DTYPE][32];
    memset(tensors, 0, N_ROUND_TRIP * sizeof *tensors);
    for (int i = 0; i < N_DTYPE; i++) {
        snprintf(names[i], sizeof names[i], "type.%s", vkssm_dtype_name((vkssm_dtype)i));
        tensors[i] = (vkssm_named_tensor){.name = names[i], .dtype = (vkssm_dtype)i, .n_dim = 2, .shape = {3, 1}};
    }
    vkssm_named_tensor *rest = tensors + N_DTYPE;
    rest[0] = (vkssm_named_tensor){.name = "quote \" back \\ tab \t del \x7f \xc3\xa9 \xf0\x9f\x99\x82", .n_dim = 0};
    rest[1] = (vkssm_named_tensor){.name = "none", .dtype = VKSSM_DTYPE_I64, .n_dim = 3, .shape = {4, 0, 5}};
    rest[2] = (vkssm_named_tensor){.name = "", .dtype = VKSSM_DTYPE_U8, .n_dim = 1, .shape = {7}};
    rest[3] =
        (vkssm_named_tensor){.name = "eight", .dtype = VKSSM_DTYPE_F16, .n_dim = 8, .shape = {1, 2, 1, 3, 1, 2, 1, 1}};
    for (int i = 0; i < N_ROUND_TRIP; i++) {
        tensors[i].size = product(&tensors[i]);
        tensors[i].data = tensors[i].size ? bytes + i : NULL;
    }
}

static void check_same(const vkssm_named_tensor *found, const vkssm_named_tensor *wanted) {
    CHECK_STR(found->name, wanted->name);
    CHECK_EQ(found->dtype, wanted->dtype);
    CHECK_EQ(found->n_dim, wanted->n_dim);
    CHECK(memcmp(found->shape, wanted->shape, sizeof found->shape) == 0);
    CHECK_EQ(found->size, wanted->size);
    CHECK(found->size == wanted->size && (found->size == 0 || memcmp(found->data, wanted->data, found->size) == 0));
}

CHECK_CASE(round_trip) {
    vkssm_named_tensor tensors[N_ROUND_TRIP], found, before = {0};
    round_trip_tensors(tensors);
    CHECK_EQ(vkssm_tensor_file_write(files_path("all.safetensors"), NULL, tensors, N_ROUND_TRIP), VKSSM_OK);
    vkssm_tensor_file *file;
    CHECK_EQ(vkssm_tensor_file_open(files_path("all.safetensors"), NULL, &file), VKSSM_OK);
    CHECK_EQ(vkssm_tensor_file_n_tensor(file), N_ROUND_TRIP);
    for (uint32_t i = 0; i < N_ROUND_TRIP; i++) {
        CHECK(vkssm_tensor_file_find(file, tensors[i].name, &found));
        check_same(&found, &tensors[i]);
        // The writer promises alignment to the element, and pages are aligned to more.
        CHECK_EQ((uintptr_t)found.data % vkssm_dtype_size(found.dtype), 0);
        vkssm_tensor_file_get(file, i, &found);
        CHECK(i == 0 || strcmp(before.name, found.name) < 0);
        before = found;
    }
    CHECK(!vkssm_tensor_file_find(file, "type.F3", &found));
    CHECK(!vkssm_tensor_file_find(file, "type.F322", &found));
    vkssm_tensor_file_get(file, N_ROUND_TRIP, &found);
    CHECK(found.name == NULL);
    vkssm_tensor_file_destroy(&file);
    CHECK(file == NULL);
    vkssm_tensor_file_destroy(&file);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

CHECK_CASE(writes_the_format) {
    const vkssm_named_tensor tensors[] = {
        {.name = "b", .dtype = VKSSM_DTYPE_U8, .n_dim = 1, .shape = {3}, .data = bytes, .size = 3},
        {.name = "a\n\"", .dtype = VKSSM_DTYPE_F32, .n_dim = 0, .data = bytes, .size = 4},
    };
    CHECK_EQ(vkssm_tensor_file_write(files_path("two.safetensors"), NULL, tensors, 2), VKSSM_OK);
    size_t size = 0;
    uint8_t *file = files_read("two.safetensors", &size);
    const char *header = "{\"a\\u000a\\\"\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                         "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]}}";
    size_t n = strlen(header), n_padded = (n + 7) / 8 * 8;
    CHECK(n < n_padded); // so that padding is seen
    CHECK_EQ(size, 8 + n_padded + 7);
    CHECK_EQ(file[0] + 256 * file[1], n_padded);
    CHECK(memcmp(file + 2, "\0\0\0\0\0", 6) == 0);
    CHECK(memcmp(file + 8, header, n) == 0);
    for (size_t i = n; i < n_padded; i++)
        CHECK_EQ(file[8 + i], ' ');
    CHECK(memcmp(file + 8 + n_padded, "\1\2\3\4\1\2\3", 7) == 0);
    free(file);
    CHECK_EQ(vks_alloc_n_live(), 0);
}

CHECK_CASE(empty_file_of_tensors) {
    CHECK_EQ(vkssm_tensor_file_write(files_path("none.safetensors"), NULL, NULL, 0), VKSSM_OK);
    vkssm_tensor_file *file;
    vkssm_named_tensor found;
    CHECK_EQ(vkssm_tensor_file_open(files_path("none.safetensors"), NULL, &file), VKSSM_OK);
    CHECK_EQ(vkssm_tensor_file_n_tensor(file), 0);
    CHECK(!vkssm_tensor_file_find(file, "a", &found));
    vkssm_tensor_file_destroy(&file);
}

// ---- the writer refuses ---------------------------------------------------------------------------------------------

static void check_write_fails(const vkssm_named_tensor *tensors, uint32_t n, const char *tensor, const char *finding) {
    files_clear();
    CHECK_EQ(vkssm_tensor_file_write(files_path("w.safetensors"), NULL, tensors, n), VKSSM_ERR_ARG);
    CHECK_CONTAINS(vkssm_last_error(), "w.safetensors");
    CHECK_CONTAINS(vkssm_last_error(), tensor);
    CHECK_CONTAINS(vkssm_last_error(), finding);
    CHECK_EQ(files_clear(), 0); // neither the file nor a part of it
    CHECK_EQ(vks_alloc_n_live(), 0);
}

CHECK_CASE(writer_refuses) {
    const vkssm_named_tensor good = {.name = "good", .n_dim = 1, .shape = {2}, .data = bytes, .size = 8};
    vkssm_named_tensor two[2] = {good, good};
    check_write_fails(two, 2, "\"good\"", "twice");
    two[1].name = NULL;
    check_write_fails(two, 2, "tensor 1", "NULL");
    two[1].name = "__metadata__";
    check_write_fails(two, 2, "tensor 1", "__metadata__");
    // Stray continuation, overlong forms, cut short, surrogate, beyond U+10FFFF, never a first byte.
    static const char *const names[] = {
        "\x80",     "\xc0\xaf",     "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xc3",
        "\xe2\x82", "\xed\xa0\x80", "\xff",         "\xf4\x90\x80\x80", "ok\xf5\x80\x80\x80"};
    for (size_t i = 0; i < VKS_COUNT(names); i++) {
        two[1].name = names[i];
        check_write_fails(two, 2, "tensor 1", "UTF-8");
    }
    vkssm_named_tensor bad = good;
    bad.size = 7;
    check_write_fails(&bad, 1, "\"good\"", "size is 7 bytes, expected 8");
    bad = good;
    bad.data = NULL;
    check_write_fails(&bad, 1, "\"good\"", "data is NULL");
    bad = good;
    bad.dtype = VKSSM_DTYPE_COUNT;
    check_write_fails(&bad, 1, "\"good\"", "dtype");
    bad = good;
    bad.n_dim = 9;
    check_write_fails(&bad, 1, "\"good\"", "n_dim is 9");
    bad = good;
    bad.n_dim = 2;
    bad.shape[0] = bad.shape[1] = UINT64_C(1) << 32;
    check_write_fails(&bad, 1, "\"good\"", "too large");
    two[0] = two[1] = good; // in total more than a file can have; the data are not looked at
    two[0].name = "huge";
    for (int i = 0; i < 2; i++) {
        two[i].dtype = VKSSM_DTYPE_U8;
        two[i].size = two[i].shape[0] = INT64_MAX;
    }
    check_write_fails(two, 2, "\"good\"", "2^63");
    CHECK_EQ(vkssm_tensor_file_write(NULL, NULL, &good, 1), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tensor_file_write(files_path("w.safetensors"), NULL, NULL, 1), VKSSM_ERR_ARG);
}

CHECK_CASE(writer_leaves_the_old_file_alone) {
    const vkssm_named_tensor good = {.name = "good", .n_dim = 1, .shape = {2}, .data = bytes, .size = 8};
    files_clear();
    CHECK_EQ(vkssm_tensor_file_write(files_path("w.safetensors"), NULL, &good, 1), VKSSM_OK);
    vkssm_tensor_file *file;
    vkssm_named_tensor read;
    CHECK_EQ(vkssm_tensor_file_open(files_path("w.safetensors"), NULL, &file), VKSSM_OK);
    CHECK(vkssm_tensor_file_find(file, "good", &read));
    // The tensors come from the very file that is replaced.
    CHECK_EQ(vkssm_tensor_file_write(files_path("w.safetensors"), NULL, &read, 1), VKSSM_OK);
    check_same(&read, &good);
    vkssm_tensor_file_destroy(&file);
    vkssm_named_tensor bad = good;
    bad.size = 1;
    CHECK_EQ(vkssm_tensor_file_write(files_path("w.safetensors"), NULL, &bad, 1), VKSSM_ERR_ARG);
    CHECK_EQ(open_status(files_path("w.safetensors")), VKSSM_OK);
    CHECK_EQ(files_clear(), 1);
    CHECK_EQ(vkssm_tensor_file_write(files_path("no/such/folder.safetensors"), NULL, &good, 1), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), "no/such/folder.safetensors");
    CHECK_EQ(vks_alloc_n_live(), 0);
}

// A limit of 4 KiB a file stands for a full disk. Nothing is printed while it holds, since it concerns stdout too.
static vkssm_status write_limited(uint64_t size, char message[1024]) {
    uint8_t *data = calloc(1, size);
    const vkssm_named_tensor tensor = {
        .name = "zeros", .dtype = VKSSM_DTYPE_U8, .n_dim = 1, .shape = {size}, .data = data, .size = size};
    struct rlimit before, small;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = before;
    small.rlim_cur = 4096;
    fflush(stdout);
    signal(SIGXFSZ, SIG_IGN);
    bool limited = setrlimit(RLIMIT_FSIZE, &small) == 0;
    vkssm_status status = vkssm_tensor_file_write(files_path("w.safetensors"), NULL, &tensor, 1);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    snprintf(message, 1024, "%s", vkssm_last_error());
    CHECK(limited);
    free(data);
    return status;
}

CHECK_CASE(writer_on_a_full_disk) {
    // The larger fails while it is written, the smaller perhaps only when the last buffer is flushed.
    static const uint64_t sizes[] = {1 << 20, 4050};
    for (size_t i = 0; i < VKS_COUNT(sizes); i++) {
        char message[1024];
        files_clear();
        CHECK_EQ(write_limited(sizes[i], message), VKSSM_ERR_IO);
        CHECK_CONTAINS(message, "w.safetensors: cannot ");
        CHECK_EQ(files_clear(), 0);
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
}

// ---- the reader refuses ---------------------------------------------------------------------------------------------

#define T(dtype, shape, offsets) "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data_size;
    vkssm_status status;
    const char *finding, *more; // both in the message
} headers[] = {
    // What must be read.
    {"{}", 0, VKSSM_OK, "", ""},
    {"{}       ", 0, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"F32\"", "[1]", "[0,4]") "}", 4, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"F32\"", "[]", "[0,4]") "}", 4, VKSSM_OK, "", ""},
    {"{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T("\"U8\"", "[1]", "[0,1]") "}", 1, VKSSM_OK, "", ""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":[{}]}}", 1, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"U8\"", "[1]", "[3,4]") ",\"b\":" T("\"U8\"", "[3]", "[0,3]") "}", 4, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"U8\"", "[0]", "[3,3]") ",\"b\":" T("\"U8\"", "[3]", "[0,3]") "}", 3, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"U8\"", "[2,0]", "[0,0]") ",\"b\":" T("\"U8\"", "[0]", "[0,0]") "}", 0, VKSSM_OK, "", ""},
    {"{\"a\":" T("\"U8\"", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, VKSSM_OK, "", ""},
    // JSON.
    {"", 0, VKSSM_ERR_FORMAT, "empty", ""},
    {"[]", 0, VKSSM_ERR_FORMAT, "0x5b", "'{'"},
    {" {}", 0, VKSSM_ERR_FORMAT, "0x20", "'{'"},
    {"{", 0, VKSSM_ERR_FORMAT, "not valid JSON", "line 1"},
    {"{}x", 0, VKSSM_ERR_FORMAT, "not valid JSON", "line 1"},
    {"{\"a\xff\":1}", 0, VKSSM_ERR_FORMAT, "not valid JSON", "0xff"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") ",\"a\":" T("\"U8\"", "[1]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "duplicate",
     "\"a\""},
    {"{\"a\\u0000\":" T("\"U8\"", "[1]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "not valid JSON", ""},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, VKSSM_ERR_FORMAT,
     "duplicate", "dtype"},
    {"{\"a\":" T("\"F32\"", "[NaN]", "[0,4]") "}", 4, VKSSM_ERR_FORMAT, "not valid JSON", "NaN"},
    {"{\"a\":" T("\"F32\"", "[Infinity]", "[0,4]") "}", 4, VKSSM_ERR_FORMAT, "not valid JSON", "Infinity"},
    // Metadata.
    {"{\"__metadata__\":[]}", 0, VKSSM_ERR_FORMAT, "__metadata__ is an array of 0", "object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, VKSSM_ERR_FORMAT, "__metadata__ \"k\" is 1", "a string"},
    // Members.
    {"{\"the.name\":5}", 0, VKSSM_ERR_FORMAT, "\"the.name\" is 5", "an object"},
    {"{\"the.name\":null}", 0, VKSSM_ERR_FORMAT, "\"the.name\" is null", "an object"},
    {"{\"the.name\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, VKSSM_ERR_FORMAT, "\"the.name\": dtype is missing",
     "string"},
    {"{\"the.name\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape is missing",
     "array"},
    {"{\"the.name\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, VKSSM_ERR_FORMAT, "\"the.name\": data_offsets is missing",
     "array"},
    {"{\"the.name\":" T("1", "[1]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": dtype is 1", "string"},
    {"{\"the.name\":" T("\"F8_E4M3\"", "[1]", "[0,1]") "}", 1, VKSSM_ERR_UNSUPPORTED,
     "\"the.name\": dtype is \"F8_E4M3\"", "F32"},
    {"{\"the.name\":" T("\"f32\"", "[1]", "[0,4]") "}", 4, VKSSM_ERR_UNSUPPORTED, "\"the.name\": dtype is \"f32\"",
     "F32"},
    {"{\"the.name\":" T("\"unknown\"", "[1]", "[0,4]") "}", 4, VKSSM_ERR_UNSUPPORTED, "\"the.name\": dtype", "F32"},
    // Shapes.
    {"{\"the.name\":" T("\"U8\"", "1", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape is 1", "array"},
    {"{\"the.name\":" T("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "shape is an array of 9",
     "at most 8"},
    {"{\"the.name\":" T("\"U8\"", "[2,-1]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape[1] is -1",
     "integer"},
    {"{\"the.name\":" T("\"U8\"", "[1.0]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape[0] is 1", "integer"},
    {"{\"the.name\":" T("\"U8\"", "[true]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape[0] is true",
     "integer"},
    {"{\"the.name\":" T("\"U8\"", "[\"1\"]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape[0] is \"1\"",
     "integer"},
    {"{\"the.name\":" T("\"U8\"", "[[1]]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "\"the.name\": shape[0] is an array",
     "integer"},
    {"{\"the.name\":" T("\"U8\"", "[99999999999999999999]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "not valid JSON", "big"},
    {"{\"the.name\":" T("\"U8\"", "[4294967296,4294967296]", "[0,0]") "}", 0, VKSSM_ERR_FORMAT,
     "\"the.name\": shape[1]", "64 bits"},
    {"{\"the.name\":" T("\"F64\"", "[9223372036854775807]", "[0,0]") "}", 0, VKSSM_ERR_FORMAT, "\"the.name\": shape[0]",
     "64 bits"},
    {"{\"the.name\":" T("\"U8\"", "[9223372036854775807]", "[0,1]") "}", 1, VKSSM_ERR_FORMAT, "hold 1 bytes",
     "expected 9223372036854775807"},
    {"{\"the.name\":" T("\"F32\"", "[2]", "[0,4]") "}", 4, VKSSM_ERR_FORMAT, "[0, 4] hold 4 bytes", "expected 8"},
    {"{\"the.name\":" T("\"F32\"", "[0]", "[0,4]") "}", 4, VKSSM_ERR_FORMAT, "[0, 4] hold 4 bytes", "expected 0"},
    // Offsets.
    {"{\"the.name\":" T("\"U8\"", "[1]", "[0]") "}", 1, VKSSM_ERR_FORMAT, "data_offsets is an array of 1", "2"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[0,1,2]") "}", 1, VKSSM_ERR_FORMAT, "data_offsets is an array of 3", "2"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "{}") "}", 1, VKSSM_ERR_FORMAT, "data_offsets is an object", "2"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[-1,0]") "}", 1, VKSSM_ERR_FORMAT, "data_offsets[0] is -1", "integer"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[0,1.0]") "}", 1, VKSSM_ERR_FORMAT, "data_offsets[1] is 1", "integer"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[1,0]") "}", 1, VKSSM_ERR_FORMAT, "data_offsets are [1, 0]", "range"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[1,2]") "}", 1, VKSSM_ERR_FORMAT, "[1, 2]", "the 1 bytes of data"},
    {"{\"the.name\":" T("\"U8\"", "[0]", "[9223372036854775807,9223372036854775807]") "}", 1, VKSSM_ERR_FORMAT,
     "9223372036854775807", "the 1 bytes of data"},
    // Places.
    {"{\"a\":" T("\"U8\"", "[3]", "[0,3]") ",\"the.name\":" T("\"U8\"", "[2]", "[2,4]") "}", 4, VKSSM_ERR_FORMAT,
     "\"the.name\" begins at data byte 2, expected 3", "overlaps tensor \"a\""},
    {"{\"a\":" T("\"U8\"", "[2]", "[0,2]") ",\"b\":" T("\"U8\"", "[2]", "[0,2]") "}", 2, VKSSM_ERR_FORMAT,
     "begins at data byte 0, expected 2", "overlaps"},
    {"{\"a\":" T("\"U8\"", "[4]", "[0,4]") ",\"b\":" T("\"U8\"", "[0]", "[2,2]") "}", 4, VKSSM_ERR_FORMAT,
     "\"b\" begins at data byte 2, expected 4", "overlaps tensor \"a\""},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") ",\"the.name\":" T("\"U8\"", "[2]", "[2,4]") "}", 4, VKSSM_ERR_FORMAT,
     "\"the.name\" begins at data byte 2, expected 1", "gap"},
    {"{\"the.name\":" T("\"U8\"", "[1]", "[1,2]") "}", 2, VKSSM_ERR_FORMAT,
     "\"the.name\" begins at data byte 1, expected 0", "gap"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") "}", 2, VKSSM_ERR_FORMAT, "end at data byte 1", "expected 2"},
    {"{}", 3, VKSSM_ERR_FORMAT, "end at data byte 0", "expected 3"},
};

CHECK_CASE(headers) {
    for (size_t i = 0; i < VKS_COUNT(headers); i++) {
        int failed_before = check_n_failed;
        size_t size;
        uint8_t *file = make_file(headers[i].header, headers[i].data_size, &size);
        vks_tensor_list list = {0};
        vkssm_status status = vks_safetensors_parse("some/f.safetensors", file, size, NULL, &list);
        CHECK_EQ(status, headers[i].status);
        if (status != VKSSM_OK) {
            CHECK_CONTAINS(vkssm_last_error(), "some/f.safetensors: ");
            CHECK_CONTAINS(vkssm_last_error(), headers[i].finding);
            CHECK_CONTAINS(vkssm_last_error(), headers[i].more);
        }
        vks_tensor_list_finish(&list);
        CHECK_EQ(vks_alloc_n_live(), 0);
        free(file);
        if (check_n_failed != failed_before) printf("  in header %s\n", headers[i].header);
    }
}

CHECK_CASE(short_files) {
    static const uint8_t file[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    vks_tensor_list list = {0};
    for (size_t size = 0; size < 8; size++) {
        CHECK_EQ(vks_safetensors_parse("f", file, size, NULL, &list), VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), "at least 8");
    }
    CHECK_EQ(vks_safetensors_parse("f", file, sizeof file, NULL, &list), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "18446744073709551615 bytes, expected at most 2");
    static const uint8_t one_more[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    CHECK_EQ(vks_safetensors_parse("f", one_more, sizeof one_more, NULL, &list), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "3 bytes, expected at most 2");
    CHECK(files_write("empty.safetensors", "", 0));
    CHECK_EQ(open_status(files_path("empty.safetensors")), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "empty.safetensors: the file has 0 bytes");
}

// A header beyond 100 MB is refused by its length alone. The file is sparse, and none of it is read.
CHECK_CASE(large_header) {
    static const uint8_t length[8] = {0x01, 0xe1, 0xf5, 0x05}; // 100,000,001
    CHECK(files_write("large.safetensors", length, sizeof length));
    CHECK(truncate(files_path("large.safetensors"), 100000100) == 0);
    CHECK_EQ(open_status(files_path("large.safetensors")), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), "large.safetensors");
    CHECK_CONTAINS(vkssm_last_error(), "100000001 bytes");
    CHECK_CONTAINS(vkssm_last_error(), "at most 100000000");
}

CHECK_CASE(deep_nesting) {
    enum { DEPTH = 1000000 };
    char *header = malloc(5 + DEPTH + 1);
    memcpy(header, "{\"a\":", 5);
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < DEPTH; i++)
            header[5 + i] = kind ? "{\"a\":"[i % 5] : '[';
        header[5 + DEPTH] = 0;
        CHECK(write_file("deep.safetensors", header, 0));
        CHECK_EQ(open_status(files_path("deep.safetensors")), VKSSM_ERR_FORMAT);
        CHECK_CONTAINS(vkssm_last_error(), "deep.safetensors: the safetensors header is not valid JSON");
        CHECK_CONTAINS(vkssm_last_error(), "depth");
    }
    free(header);
}

CHECK_CASE(long_and_strange_names_make_one_line) {
    enum { N = 5000 };
    char *header = malloc(N + 100);
    memcpy(header, "{\"", 2);
    for (int i = 0; i < N; i += 2)
        memcpy(header + 2 + i, "\\n", 2);
    strcpy(header + 2 + N, "\":" T("\"F32\"", "[2]", "[0,4]") "}");
    CHECK(write_file("names.safetensors", header, 4));
    free(header);
    CHECK_EQ(open_status(files_path("names.safetensors")), VKSSM_ERR_FORMAT);
    CHECK(!strchr(vkssm_last_error(), '\n'));
    CHECK_CONTAINS(vkssm_last_error(), "names.safetensors: tensor \"????");
    CHECK_CONTAINS(vkssm_last_error(), "expected 8"); // the name does not push the finding off the line
}

// ---- folders and shards ---------------------------------------------------------------------------------------------

#define SHARD_1 "s-1.safetensors"
#define SHARD_2 "s-2.safetensors"
#define INDEX "model.safetensors.index.json"

static void write_shards(void) {
    files_clear();
    CHECK(write_file(SHARD_1, "{\"b\":" T("\"U8\"", "[1]", "[0,1]") ",\"d\":" T("\"U8\"", "[2]", "[1,3]") "}", 3));
    CHECK(write_file(SHARD_2,
                     "{\"a\":" T("\"I16\"", "[2]", "[0,4]") ",\"c\":" T("\"U8\"", "[1]", "[4,5]") ",\"b\":" T(
                         "\"U8\"", "[1]", "[5,6]") "}",
                     6));
    CHECK(write_text(INDEX, "{\"metadata\":{\"total_size\":9},\"weight_map\":{\"b\":\"" SHARD_1 "\",\"a\":\"" SHARD_2
                            "\",\"d\":\"" SHARD_1 "\",\"c\":\"" SHARD_2 "\"}}"));
}

CHECK_CASE(shards) {
    write_shards();
    const char *paths[] = {files_folder, files_path(INDEX)};
    for (size_t i = 0; i < 2; i++) {
        vks_weights *weights;
        vkssm_named_tensor found;
        CHECK_EQ(vks_weights_open(paths[i], NULL, &weights), VKSSM_OK);
        CHECK_STR(vks_weights_path(weights), paths[i]);
        CHECK_EQ(vks_weights_n_tensor(weights), 4);
        for (uint32_t j = 0; j < 4; j++) {
            vks_weights_get(weights, j, &found);
            CHECK_STR(found.name, ((const char *[]){"a", "b", "c", "d"})[j]);
        }
        CHECK(vks_weights_find(weights, "a", &found) && found.dtype == VKSSM_DTYPE_I16 && found.size == 4);
        CHECK(vks_weights_find(weights, "b", &found) &&
              *(const uint8_t *)found.data == 0); // of shard 1: 0, of shard 2: 5
        CHECK(vks_weights_find(weights, "d", &found) && memcmp(found.data, "\1\2", 2) == 0);
        CHECK(!vks_weights_find(weights, "e", &found));
        vks_weights_destroy(&weights);
        CHECK(weights == NULL);
        vks_weights_destroy(&weights);
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
}

static void check_index_fails(const char *index, vkssm_status status, const char *finding, const char *more) {
    int failed_before = check_n_failed;
    CHECK(write_text(INDEX, index));
    CHECK_EQ(open_status(files_folder), status);
    CHECK_CONTAINS(vkssm_last_error(), files_folder);
    CHECK_CONTAINS(vkssm_last_error(), finding);
    CHECK_CONTAINS(vkssm_last_error(), more);
    if (check_n_failed != failed_before) printf("  in index %s\n", index);
}

CHECK_CASE(index_refused) {
    write_shards();
    check_index_fails("", VKSSM_ERR_FORMAT, INDEX, "empty");
    check_index_fails("[]", VKSSM_ERR_FORMAT, INDEX, "an array of 0");
    check_index_fails("{\"metadata\":{}}", VKSSM_ERR_FORMAT, INDEX ": weight_map is missing", "object");
    check_index_fails("{\"weight_map\":[]}", VKSSM_ERR_FORMAT, INDEX ": weight_map is an array", "object");
    check_index_fails("{\"weight_map\":{\"x\":1}}", VKSSM_ERR_FORMAT, INDEX, "tensor \"x\" is 1");
    check_index_fails("{\"weight_map\":{\"x\":\"" SHARD_1 "\",\"x\":\"" SHARD_2 "\"}}", VKSSM_ERR_FORMAT, INDEX,
                      "duplicate");
    check_index_fails("{\"weight_map\":{\"x\":\"" SHARD_1 "\"}}", VKSSM_ERR_FORMAT, SHARD_1 ": tensor \"x\" is missing",
                      INDEX);
    // One that comes before the shard's last.
    check_index_fails("{\"weight_map\":{\"c\":\"" SHARD_1 "\"}}", VKSSM_ERR_FORMAT, SHARD_1 ": tensor \"c\" is missing",
                      INDEX);
    check_index_fails("{\"weight_map\":{\"zz\":\"" SHARD_1 "\",\"b\":\"" SHARD_1 "\"}}", VKSSM_ERR_FORMAT,
                      SHARD_1 ": tensor \"zz\" is missing", INDEX);
    check_index_fails("{\"weight_map\":{\"x\":\"s-3.safetensors\"}}", VKSSM_ERR_IO,
                      "s-3.safetensors: the shard is missing", "\"x\"");
    static const char *const shards[] = {"", ".", "..", "../s", "/s", "a/s", "a\\\\s", "..\\\\s", "C:s"};
    for (size_t i = 0; i < VKS_COUNT(shards); i++) {
        char index[100];
        snprintf(index, sizeof index, "{\"weight_map\":{\"x\":\"%s\"}}", shards[i]);
        check_index_fails(index, VKSSM_ERR_FORMAT, INDEX ": the file of tensor \"x\"", "plain name");
    }
    write_shards();
    CHECK(write_text(SHARD_2, "0123456789"));
    CHECK_EQ(open_status(files_folder), VKSSM_ERR_FORMAT);
    CHECK_CONTAINS(vkssm_last_error(), SHARD_2);
    CHECK(remove(files_path(SHARD_2)) == 0 && mkdir(files_path(SHARD_2), 0700) == 0);
    CHECK_EQ(open_status(files_folder), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), SHARD_2);
    files_clear();
}

CHECK_CASE(folders) {
    files_clear();
    CHECK_EQ(open_status(files_folder), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), files_folder);
    CHECK_CONTAINS(vkssm_last_error(), "expected model.safetensors or model.safetensors.index.json");
    CHECK(write_text("pytorch_model.bin", "x"));
    CHECK_EQ(open_status(files_folder), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), "pytorch_model.bin: convert it to safetensors");
    CHECK(write_text(INDEX, "{\"weight_map\":{}}"));
    CHECK_EQ(open_status(files_folder), VKSSM_OK);
    CHECK(write_file("model.safetensors", "{\"only\":" T("\"U8\"", "[1]", "[0,1]") "}", 1));
    vkssm_tensor_file *file; // the single file comes before the index
    CHECK_EQ(vkssm_tensor_file_open(files_folder, NULL, &file), VKSSM_OK);
    CHECK_EQ(vkssm_tensor_file_n_tensor(file), 1);
    vkssm_tensor_file_destroy(&file);
    files_clear();
    CHECK_EQ(open_status(files_path("absent.safetensors")), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), "absent.safetensors");
    CHECK_EQ(open_status(files_path("absent.index.json")), VKSSM_ERR_IO);
    CHECK_CONTAINS(vkssm_last_error(), "absent.index.json");
    CHECK_EQ(open_status(NULL), VKSSM_ERR_ARG);
    CHECK_EQ(vkssm_tensor_file_open(files_folder, NULL, NULL), VKSSM_ERR_ARG);
}

static void count_messages(void *user, vkssm_log_level level, const char *message) {
    if (level == VKSSM_LOG_ERROR && strstr(message, "absent.safetensors")) ++*(int *)user;
}

CHECK_CASE(one_message_a_failure) {
    int n = 0;
    vkssm_log log = {.callback = count_messages, .user = &n};
    vkssm_tensor_file *file;
    CHECK_EQ(vkssm_tensor_file_open(files_path("absent.safetensors"), &log, &file), VKSSM_ERR_IO);
    CHECK_EQ(n, 1);
}

// ---- out of memory --------------------------------------------------------------------------------------------------

// `call` with its first, second, ... allocation failing, until it succeeds.
static void check_out_of_memory(vkssm_status (*call)(void), int n_file) {
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    uint64_t n = 0;
    for (; n < 1000 && status != VKSSM_OK; n++) {
        vks_alloc_fail_after(n);
        status = call();
        vks_alloc_fail_after(UINT64_MAX);
        CHECK(status == VKSSM_OK || status == VKSSM_ERR_OOM_HOST);
        if (status != VKSSM_OK) CHECK_CONTAINS(vkssm_last_error(), "out of memory");
        CHECK_EQ(vks_alloc_n_live(), 0);
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 3); // else nothing was made to fail
    CHECK_EQ(files_clear(), n_file);
}

static vkssm_status open_folder_once(void) {
    vks_weights *weights;
    vkssm_status status = vks_weights_open(files_folder, NULL, &weights);
    vks_weights_destroy(&weights);
    return status;
}

static vkssm_status write_once(void) {
    vkssm_named_tensor tensors[N_ROUND_TRIP];
    round_trip_tensors(tensors);
    return vkssm_tensor_file_write(files_path("w.safetensors"), NULL, tensors, N_ROUND_TRIP);
}

CHECK_CASE(out_of_memory) {
    write_shards();
    check_out_of_memory(open_folder_once, 3);
    CHECK_EQ(write_once(), VKSSM_OK);
    CHECK(rename(files_path("w.safetensors"), files_path("model.safetensors")) == 0);
    check_out_of_memory(open_folder_once, 1);
    check_out_of_memory(write_once, 1);
}

// The JSON parser allocates by itself. Where it tells that memory ran out, so do we; where it takes the token that it
// could not copy for a malformed one, there is no telling, but it must be a failure with a reason all the same.
static uint64_t n_parser_blocks;
static void *parser_malloc(size_t size) {
    return n_parser_blocks > 0 ? n_parser_blocks--, malloc(size) : NULL;
}

CHECK_CASE(parser_out_of_memory) {
    write_shards();
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    json_set_alloc_funcs(parser_malloc, free);
    uint64_t n = 0, n_told = 0;
    for (; n < 1000 && status != VKSSM_OK; n++) {
        n_parser_blocks = n;
        status = open_status(files_folder);
        bool told = strstr(vkssm_last_error(), "out of memory") != NULL;
        CHECK(status == VKSSM_OK || status == (told ? VKSSM_ERR_OOM_HOST : VKSSM_ERR_FORMAT));
        if (status == VKSSM_ERR_FORMAT) CHECK_CONTAINS(vkssm_last_error(), " near ");
        n_told += status == VKSSM_ERR_OOM_HOST;
    }
    json_set_alloc_funcs(malloc, free);
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n_told > n / 2); // most blocks hold no token
}

int main(int argc, char **argv) {
    if (!files_begin()) return 1;
    int result = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(round_trip),
                                           CHECK_RUN(writes_the_format),
                                           CHECK_RUN(empty_file_of_tensors),
                                           CHECK_RUN(writer_refuses),
                                           CHECK_RUN(writer_leaves_the_old_file_alone),
                                           CHECK_RUN(writer_on_a_full_disk),
                                           CHECK_RUN(headers),
                                           CHECK_RUN(short_files),
                                           CHECK_RUN(large_header),
                                           CHECK_RUN(deep_nesting),
                                           CHECK_RUN(long_and_strange_names_make_one_line),
                                           CHECK_RUN(shards),
                                           CHECK_RUN(index_refused),
                                           CHECK_RUN(folders),
                                           CHECK_RUN(one_message_a_failure),
                                           CHECK_RUN(out_of_memory),
                                           CHECK_RUN(parser_out_of_memory),
                                           {0}});
    files_end();
    return result;
}
