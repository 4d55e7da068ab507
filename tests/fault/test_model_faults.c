// A model's life with failing memory and a failing device: every allocation of host memory fails in turn, every
// allocation of device memory, the device has too little of it from the beginning, or is lost under way. Each failure
// is one line with the right status; nothing leaks; what lived before goes on as if nothing had been; everything can be
// destroyed.
#define _XOPEN_SOURCE 700
#include "harness/model_test.h"
#include "host/core/core_device.h"

#include <dlfcn.h>
#include <vulkan/vulkan_core.h>

enum { N_PROMPT = 70, N_VOCAB = 96 };

static const char *model_name = "mamba2"; // that cases work with
static const char *path(void) {
    return model_data(model_name);
}

// Everything that a program does with a model, or a part of it.
typedef struct life {
    vkssm_device *device;
    vkssm_model *model;
    vkssm_session *session;
    int32_t tokens[N_PROMPT];
    float logits[N_PROMPT * N_VOCAB];
    uint8_t *image; // of slot 0 after the prompt
    uint64_t image_size;
} life;

static vkssm_status create_device(life *l) {
    vkssm_device_params params = model_device_params();
    params.validation = false; // the layer is slow to start, and other cases have it
    return vkssm_device_create(&params, &l->device);
}

static vkssm_status load_model(life *l) {
    return vkssm_model_load(l->device, path(), NULL, &l->model);
}

static vkssm_status create_session(life *l) {
    return vkssm_session_create(l->model, &(vkssm_session_params){.n_slot = 3}, &l->session);
}

static vkssm_status prefill(life *l) {
    return vkssm_session_prefill(l->session, 0, l->tokens, N_PROMPT, VKSSM_LOGITS_ALL, l->logits);
}

static vkssm_status step(life *l) {
    return vkssm_session_step(l->session, 2, (uint32_t[]){2, 0}, l->tokens, l->logits);
}

static vkssm_status generate(life *l) {
    const vkssm_generate_params params = {.n_token = 5, .sampling = {.temperature = 1, .top_k = 7, .seed = 1}};
    return vkssm_session_generate(l->session, 0, &params, NULL, NULL);
}

static vkssm_status save(life *l) {
    return vkssm_session_state_save(l->session, 0, l->image, l->image_size);
}

static vkssm_status load_state(life *l) {
    return vkssm_session_state_load(l->session, 1, l->image, l->image_size);
}

static vkssm_status clone(life *l) {
    return vkssm_session_clone(l->session, 0, 2);
}

static vkssm_status reset(life *l) {
    return vkssm_session_reset(l->session, 1);
}

typedef struct deed {
    const char *name;
    vkssm_status (*run)(life *l);
} deed;

// What can be done with a session whose slot 0 has read something.
static const deed deeds[] = {{"prefill", prefill}, {"step", step},   {"generate", generate}, {"save", save},
                             {"load", load_state}, {"clone", clone}, {"reset", reset}};
enum { N_DEED = sizeof deeds / sizeof *deeds };

static void begin(life *l) {
    memset(l, 0, sizeof *l);
    uint64_t seed = 1;
    for (int i = 0; i < N_PROMPT; i++)
        l->tokens[i] = (int32_t)(check_random(&seed) % N_VOCAB);
}

// A session that has read the prompt, and its image.
static bool begin_session(life *l) {
    CHECK_OK(create_session(l));
    if (!l->session) return false;
    CHECK_OK(prefill(l));
    l->image_size = vkssm_session_state_size(l->session);
    l->image = model_alloc((size_t)l->image_size, 1);
    CHECK_OK(save(l));
    return true;
}

static void end_session(life *l) {
    vkssm_session_destroy(&l->session);
    free(l->image);
    l->image = NULL;
}

static void end(life *l) {
    end_session(l);
    vkssm_model_destroy(&l->model);
    vkssm_device_destroy(&l->device);
    CHECK(!l->session && !l->model && !l->device);
    CHECK_EQ(vks_alloc_n_live(), 0); // beside model_device, which these cases do without
}

// The prompt read anew gives the same bits as ever.
static void check_alive(life *l, const float *wanted) {
    CHECK_OK(vkssm_session_reset(l->session, 0));
    CHECK_OK(prefill(l));
    CHECK(memcmp(l->logits, wanted, sizeof l->logits) == 0);
}

static float *logits_of(const life *l) {
    float *copy = model_alloc(1, sizeof l->logits);
    return memcpy(copy, l->logits, sizeof l->logits);
}

static void check_message(vkssm_status found, vkssm_status wanted, const char *what, uint64_t n) {
    int n_failed = check_n_failed;
    CHECK_EQ(found, wanted);
    CHECK(vkssm_last_error()[0] && !strpbrk(vkssm_last_error(), "\r\n"));
    if (check_n_failed != n_failed) printf("  %s, failure %" PRIu64 ": %s\n", what, n, vkssm_last_error());
}

// ---- host memory ----------------------------------------------------------------------------------------------------

// One attempt with the n-th allocation from now failing, and all later ones.
static vkssm_status attempt(life *l, const deed *what, uint64_t n) {
    uint64_t n_live = vks_alloc_n_live();
    vks_alloc_fail_after(n);
    vkssm_status status = what->run(l);
    vks_alloc_fail_after(UINT64_MAX);
    if (status == VKSSM_OK) return status;
    check_message(status, VKSSM_ERR_OOM_HOST, what->name, n);
    // What a session or device keeps for later (grown lists, compiled kernels) may stay; a failed creation leaves
    // nothing.
    if (!l->session && !l->device) CHECK_EQ(vks_alloc_n_live(), n_live);
    return status;
}

CHECK_CASE(host_memory_of_device) {
    life l;
    uint64_t n = 0;
    const deed what = {"device", create_device};
    for (begin(&l); attempt(&l, &what, n) != VKSSM_OK; n++)
        CHECK(!l.device);
    printf("  %" PRIu64 " allocations\n", n);
    CHECK(n > 5);
    end(&l);
}

// Loading with every allocation failing; `session` too: creating a session, whose kernels stay once they are compiled.
static void fail_loading(bool session) {
    life l;
    uint64_t n = 0;
    const deed what = {"model", load_model}, next = {"session", create_session};
    begin(&l);
    CHECK_OK(create_device(&l));
    if (!l.device) return;
    for (uint64_t n_live = vks_alloc_n_live(); attempt(&l, &what, n) != VKSSM_OK; n++) {
        CHECK(!l.model);
        CHECK_EQ(vks_alloc_n_live(), n_live);
    }
    printf("  %s: %" PRIu64 " allocations\n", model_name, n);
    CHECK(n > 50);
    for (n = 0; session && attempt(&l, &next, n) != VKSSM_OK; n++)
        CHECK(!l.session);
    if (session)
        CHECK(n > 20);
    else
        CHECK_OK(create_session(&l));
    end(&l);
}

CHECK_CASE(host_memory_of_model) {
    fail_loading(false);
}

// Their weights are spread to even ranks, and normed parts need ones.
CHECK_CASE(host_memory_of_mamba1) {
    static const char *const others[] = {"mamba", "falcon_mamba"};
    const char *usual = model_name;
    for (size_t i = 0; i < VKS_COUNT(others); i++) {
        model_name = others[i];
        fail_loading(true);
    }
    model_name = usual;
}

// On a fresh device for each of the first 20 failures, so that compiling kernels fails too; then the kernels stay.
CHECK_CASE(host_memory_of_session) {
    life l;
    uint64_t n = 0;
    vkssm_status status = VKSSM_ERR_INTERNAL;
    const deed what = {"session", create_session};
    for (; status != VKSSM_OK && n < 1000; n++) {
        if (n <= 20) {
            begin(&l);
            CHECK_OK(create_device(&l));
            if (l.device) CHECK_OK(load_model(&l));
            if (!l.model) return;
        }
        status = attempt(&l, &what, n);
        CHECK((status == VKSSM_OK) == (l.session != NULL));
        if (n < 20 && status != VKSSM_OK) end(&l);
    }
    printf("  %" PRIu64 " allocations\n", n - 1);
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 20);
    CHECK_OK(prefill(&l));
    end(&l);
}

// Each call of a session, from a fresh session for every failure. Afterwards the session works.
CHECK_CASE(host_memory_of_calls) {
    life l;
    begin(&l);
    CHECK_OK(create_device(&l));
    if (l.device) CHECK_OK(load_model(&l));
    if (!l.model || !begin_session(&l)) return;
    float *wanted = logits_of(&l);
    end_session(&l);
    uint64_t n_total = 0;
    for (int d = 0; d < N_DEED; d++) {
        vkssm_status status = VKSSM_ERR_INTERNAL;
        for (uint64_t n = 0; status != VKSSM_OK && n < 1000; n++) {
            // A prompt read before would have grown the lists that a first prefill grows.
            CHECK_OK(create_session(&l));
            if (!l.session) return;
            l.image_size = vkssm_session_state_size(l.session);
            l.image = model_alloc((size_t)l.image_size, 1);
            CHECK_OK(save(&l));
            if (deeds[d].run == generate) CHECK_OK(vkssm_session_step(l.session, 1, (uint32_t[]){0}, l.tokens, NULL));
            status = attempt(&l, &deeds[d], n);
            n_total += status != VKSSM_OK;
            check_alive(&l, wanted);
            end_session(&l);
        }
        CHECK_EQ(status, VKSSM_OK);
    }
    printf("  %" PRIu64 " failures\n", n_total);
    CHECK(n_total > 5);
    free(wanted);
    end(&l);
}

// The whole of a life in one go, on a fresh device each time.
static vkssm_status live(life *l) {
    VKS_TRY(create_device(l));
    VKS_TRY(load_model(l));
    VKS_TRY(create_session(l));
    VKS_TRY(prefill(l));
    VKS_TRY(step(l));
    return generate(l);
}

// Every failure was had above, one part at a time; here every 23rd, which comes by every part.
CHECK_CASE(host_memory_of_a_life) {
    life l;
    uint64_t n = 0;
    for (vkssm_status status = VKSSM_ERR_INTERNAL; status != VKSSM_OK && n < 100000; n += 23) {
        begin(&l);
        vks_alloc_fail_after(n);
        status = live(&l);
        vks_alloc_fail_after(UINT64_MAX);
        if (status != VKSSM_OK) check_message(status, VKSSM_ERR_OOM_HOST, "life", n);
        end(&l);
    }
    CHECK(n > 200 && n < 100000);
}

// ---- device memory --------------------------------------------------------------------------------------------------

// The n-th allocation of device memory fails, and all later ones: loading, the session, and the staging of a state.
CHECK_CASE(device_memory) {
    life l;
    uint64_t n = 0;
    begin(&l);
    CHECK_OK(create_device(&l));
    if (!l.device) return;
    uint64_t n_live = vks_alloc_n_live();
    for (vkssm_status status = VKSSM_ERR_INTERNAL; status != VKSSM_OK && n < 1000; n++) {
        vks_device_fail_memory_after(l.device->vk, n);
        status = load_model(&l);
        if (status == VKSSM_OK) status = create_session(&l);
        bool has_session = status == VKSSM_OK;
        if (has_session) {
            // No call allocates device memory, but for the staging of an image.
            CHECK_OK(prefill(&l));
            CHECK_OK(step(&l));
            CHECK_OK(generate(&l));
            l.image_size = vkssm_session_state_size(l.session);
            l.image = model_alloc((size_t)l.image_size, 1);
            CHECK_OK(save(&l));
            status = load_state(&l);
        }
        vks_device_fail_memory_after(l.device->vk, UINT64_MAX);
        if (status != VKSSM_OK) {
            check_message(status, VKSSM_ERR_OOM_DEVICE, "device memory", n);
            CHECK_CONTAINS(vkssm_last_error(), "bytes"); // the amount needed
            CHECK_CONTAINS(vkssm_last_error(), "are free");
        }
        if (has_session) CHECK_OK(load_state(&l));
        end_session(&l);
        vkssm_model_destroy(&l.model);
        // The kernels that the first session made stay with the device.
        if (!has_session && n < 2) CHECK_EQ(vks_alloc_n_live(), n_live);
    }
    CHECK(n > 5 && n < 1000);
    end(&l);
}

// A loader that says that the device has little memory, and counts what is taken of it.
static struct {
    PFN_vkGetInstanceProcAddr get_instance;
    PFN_vkGetDeviceProcAddr get_device;
    PFN_vkGetPhysicalDeviceMemoryProperties memory_properties;
    PFN_vkGetPhysicalDeviceMemoryProperties2 memory_properties_2;
    PFN_vkAllocateMemory allocate;
    VkDeviceSize limit;
    int n_allocation;
} poor;

static void limit_heaps(VkPhysicalDeviceMemoryProperties *properties) {
    for (uint32_t i = 0; i < properties->memoryHeapCount; i++)
        if (properties->memoryHeaps[i].size > poor.limit) properties->memoryHeaps[i].size = poor.limit;
}

static VKAPI_ATTR void VKAPI_CALL poor_properties(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties *out) {
    poor.memory_properties(device, out);
    limit_heaps(out);
}

static VKAPI_ATTR void VKAPI_CALL poor_properties_2(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *out) {
    poor.memory_properties_2(device, out);
    limit_heaps(&out->memoryProperties);
}

static VKAPI_ATTR VkResult VKAPI_CALL poor_allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                                    const VkAllocationCallbacks *callbacks, VkDeviceMemory *out) {
    poor.n_allocation++;
    return poor.allocate(device, info, callbacks, out);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL poor_get_device(VkDevice device, const char *name) {
    PFN_vkVoidFunction found = poor.get_device(device, name);
    if (strcmp(name, "vkAllocateMemory") != 0) return found;
    poor.allocate = (PFN_vkAllocateMemory)found;
    return (PFN_vkVoidFunction)poor_allocate;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL poor_get_instance(VkInstance instance, const char *name) {
    PFN_vkVoidFunction found = poor.get_instance(instance, name);
    if (!found) return NULL;
    if (strcmp(name, "vkGetPhysicalDeviceMemoryProperties") == 0) {
        poor.memory_properties = (PFN_vkGetPhysicalDeviceMemoryProperties)found;
        return (PFN_vkVoidFunction)poor_properties;
    }
    if (strcmp(name, "vkGetPhysicalDeviceMemoryProperties2") == 0) {
        poor.memory_properties_2 = (PFN_vkGetPhysicalDeviceMemoryProperties2)found;
        return (PFN_vkVoidFunction)poor_properties_2;
    }
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        poor.get_device = (PFN_vkGetDeviceProcAddr)found;
        return (PFN_vkVoidFunction)poor_get_device;
    }
    return found;
}

static vkssm_status create_poor_device(life *l, VkDeviceSize limit) {
    PFN_vkGetInstanceProcAddr mine = poor_get_instance;
    vkssm_device_params params = model_device_params();
    params.mask_features = VKSSM_FEATURE_MEMORY_BUDGET; // then the heap's size is what counts
    memcpy(&params.get_instance_proc_addr, &mine, sizeof mine);
    poor.limit = limit;
    poor.n_allocation = 0;
    return vkssm_device_create(&params, &l->device);
}

static bool count_bytes(void *user, uint64_t done, uint64_t total) {
    (void)total;
    *(uint64_t *)user = done;
    return true;
}

// Said before anything is taken or uploaded, with what is needed and what is there.
static void check_little_memory(void) {
    life l;
    begin(&l);
    CHECK_OK(create_poor_device(&l, 200000)); // the model's weights are twice as much
    if (!l.device) return;
    int n_before = poor.n_allocation;
    uint64_t n_live = vks_alloc_n_live(), n_uploaded = 0;
    const vkssm_model_params params = {.progress = {.callback = count_bytes, .user = &n_uploaded}};
    CHECK_REFUSED(vkssm_model_load(l.device, path(), &params, &l.model), VKSSM_ERR_OOM_DEVICE,
                  "0.4 MiB of device memory expected for the weights, 0.2 MiB found");
    CHECK_CONTAINS(vkssm_last_error(), path());
    CHECK(!l.model);
    CHECK_EQ(n_uploaded, 0);
    CHECK_EQ(poor.n_allocation, n_before);
    CHECK_EQ(vks_alloc_n_live(), n_live);
    model_close_device(&l.device);
    end(&l);
}

// The weights fit, a session does not, a smaller one does.
static void check_little_memory_for_session(void) {
    life l;
    begin(&l);
    CHECK_OK(create_poor_device(&l, 12 << 20));
    if (l.device) CHECK_OK(load_model(&l));
    if (!l.model) return;
    int n_before = poor.n_allocation;
    uint64_t size = 0;
    const vkssm_session_params large = {.n_slot = 4000}, small = {.n_slot = 3, .piece_size = 16};
    CHECK_OK(vkssm_session_memory_size(l.model, &large, &size));
    CHECK(size > (uint64_t)100 << 20);
    char needed[64];
    snprintf(needed, sizeof needed, "%.1f MiB of device memory expected for 4000 slots", (double)size / 1048576);
    CHECK_REFUSED(vkssm_session_create(l.model, &large, &l.session), VKSSM_ERR_OOM_DEVICE, needed);
    CHECK_CONTAINS(vkssm_last_error(), "MiB found");
    CHECK(!l.session);
    CHECK_EQ(poor.n_allocation, n_before);
    CHECK_OK(vkssm_session_create(l.model, &small, &l.session));
    if (l.session) CHECK_OK(prefill(&l));
    vkssm_session_destroy(&l.session);
    vkssm_model_destroy(&l.model);
    model_close_device(&l.device);
    end(&l);
}

CHECK_CASE(little_memory) {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *address = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    if (!address) CHECK_SKIP("libvulkan.so.1 cannot be opened");
    memcpy(&poor.get_instance, &address, sizeof address);
    check_little_memory();
    check_little_memory_for_session();
    dlclose(library);
}

// ---- a lost device --------------------------------------------------------------------------------------------------

#define CHECK_LOST(call)                                                                                               \
    do {                                                                                                               \
        CHECK_EQ((call), VKSSM_ERR_DEVICE_LOST);                                                                       \
        CHECK_CONTAINS(vkssm_last_error(), "lost");                                                                    \
    } while (0)

static bool begin_lost(life *l, bool validation) {
    begin(l);
    vkssm_device_params params = model_device_params();
    params.validation &= validation;
    CHECK_OK(vkssm_device_create(&params, &l->device));
    if (l->device) CHECK_OK(load_model(l));
    return l->model && begin_session(l);
}

CHECK_CASE(lost_between_calls) {
    life l;
    vkssm_session *session = NULL;
    vkssm_model *model = NULL;
    vkssm_device_info info;
    uint64_t position = 0;
    if (!begin_lost(&l, true)) return;
    vks_device_lose(l.device->vk);
    for (int round = 0; round < 2; round++) // it stays lost
        for (int d = 0; d < N_DEED; d++)
            CHECK_LOST(deeds[d].run(&l));
    CHECK_LOST(vkssm_session_create(l.model, NULL, &session));
    CHECK_LOST(vkssm_model_load(l.device, path(), NULL, &model));
    CHECK(!session && !model);
    CHECK_OK(vkssm_session_get_position(l.session, 0, &position)); // what needs no device works
    CHECK_EQ(position, N_PROMPT);
    CHECK_EQ(vkssm_session_state_size(l.session), l.image_size);
    vkssm_device_get_info(l.device, &info);
    CHECK_EQ(info.n_validation_message, 0);
    end(&l);
}

static bool lose_at_third(void *user, int32_t token) {
    life *l = user;
    (void)token;
    if (++l->tokens[0] == 3) vks_device_lose(l->device->vk);
    return true;
}

static bool lose_at_once(void *user, uint64_t done, uint64_t total) {
    life *l = user;
    (void)done, (void)total;
    vks_device_lose(l->device->vk);
    return true;
}

// Under way: in a generation, and in an upload.
CHECK_CASE(lost_within_calls) {
    life l;
    if (!begin_lost(&l, false)) return;
    uint32_t n = 0;
    l.tokens[0] = 0; // counts
    const vkssm_generate_params params = {.n_token = 20, .on_token = lose_at_third, .user = &l};
    CHECK_LOST(vkssm_session_generate(l.session, 0, &params, NULL, &n));
    CHECK_EQ(l.tokens[0], 3); // none was delivered afterwards
    CHECK(n <= 3);
    CHECK_LOST(save(&l));
    end(&l);

    begin(&l);
    CHECK_OK(create_device(&l));
    if (!l.device) return;
    // A model of several staging buffers: there is a first one before the end.
    const vkssm_model_params model_params = {.progress = {.callback = lose_at_once, .user = &l}, .no_tokenizer = true};
    CHECK_LOST(vkssm_model_load(l.device, model_zoo("stories-mamba2"), &model_params, &l.model));
    CHECK(!l.model);
    end(&l);
}

int main(int argc, char **argv) {
    if (!model_open_device()) return 77;
    model_close_device(&model_device); // each case has a device of its own, so that nothing else holds memory
    int status = check_main(argc, argv,
                            (check_case[]){CHECK_RUN(host_memory_of_device),
                                           CHECK_RUN(host_memory_of_model),
                                           CHECK_RUN(host_memory_of_mamba1),
                                           CHECK_RUN(host_memory_of_session),
                                           CHECK_RUN(host_memory_of_calls),
                                           CHECK_RUN(host_memory_of_a_life),
                                           CHECK_RUN(device_memory),
                                           CHECK_RUN(little_memory),
                                           CHECK_RUN(lost_between_calls),
                                           CHECK_RUN(lost_within_calls),
                                           {0}});
    if (model_log.n_validation || model_log.n_ragged) {
        printf("FAIL %u validation messages, %u messages of several lines\n", model_log.n_validation,
               model_log.n_ragged);
        return 1;
    }
    return status;
}
