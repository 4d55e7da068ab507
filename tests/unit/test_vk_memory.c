// vk/: arenas and uploads.
#include "vk_test.h"

static vks_arena *new_arena(vks_device *device, vks_role role, uint64_t block_size) {
    vks_arena *arena;
    CHECK_EQ(vks_arena_create(device, role, block_size, "test arena", &arena), VKSSM_OK);
    return arena;
}

CHECK_CASE(arena_grows_by_blocks) {
    vks_device *device = open_device();
    if (!device) return;
    const uint64_t block_size = 1 << 20;
    vks_arena *arena = new_arena(device, VKS_ROLE_STATE, block_size);
    CHECK_EQ(vks_arena_size(arena), 0);
    vks_buffer buffers[40];
    uint64_t size_before = 0;
    int n_block = 0;
    for (int i = 0; i < 40; i++) { // 40 of 100 KiB: ten fit into one block
        CHECK_EQ(vks_arena_alloc(arena, 100 << 10, "range", &buffers[i]), VKSSM_OK);
        CHECK_EQ(buffers[i].address % 256, 0);
        CHECK(buffers[i].address != 0 && buffers[i].handle != NULL && buffers[i].mapped == NULL);
        CHECK_EQ(buffers[i].size, 100 << 10);
        n_block += vks_arena_size(arena) != size_before;
        size_before = vks_arena_size(arena);
        for (int j = 0; j < i; j++)
            CHECK(buffers[i].address >= buffers[j].address + buffers[j].size ||
                  buffers[j].address >= buffers[i].address + buffers[i].size);
    }
    CHECK_EQ(n_block, 4);
    CHECK(size_before >= 4 * block_size);
    vks_buffer large; // larger than a block
    CHECK_EQ(vks_arena_alloc(arena, 3 * block_size + 1, "large", &large), VKSSM_OK);
    CHECK_EQ(large.size, 3 * block_size + 1);
    CHECK(vks_arena_size(arena) >= size_before + large.size);
    vks_buffer small; // fits into what the fourth block has left, although a fifth one exists
    uint64_t size = vks_arena_size(arena);
    CHECK_EQ(vks_arena_alloc(arena, 1, "small", &small), VKSSM_OK);
    CHECK_EQ(vks_arena_size(arena), size);
    vks_arena_destroy(&arena);
    vks_arena_destroy(&arena); // null is fine
    close_device(&device);
}

CHECK_CASE(arena_roles) {
    vks_device *device = open_device();
    if (!device) return;
    for (int role = 0; role < VKS_N_ROLE; role++) {
        vks_arena *arena = new_arena(device, (vks_role)role, 4096);
        vks_buffer a, b;
        CHECK_EQ(vks_arena_alloc(arena, 100, "a", &a), VKSSM_OK);
        CHECK_EQ(vks_arena_alloc(arena, 100, "b", &b), VKSSM_OK);
        bool mapped = role == VKS_ROLE_UPLOAD || role == VKS_ROLE_READBACK;
        CHECK_EQ(a.mapped != NULL, mapped);
        if (mapped) {
            vks_arena_fill_host(&a, 0x11);
            vks_arena_fill_host(&b, 0x22);
            CHECK_EQ(((uint8_t *)a.mapped)[99], 0x11);
            CHECK_EQ(((uint8_t *)b.mapped)[0], 0x22);
            CHECK_EQ((uint8_t *)b.mapped - (uint8_t *)a.mapped, 256);
        }
        CHECK_EQ(b.offset - a.offset, 256);
        CHECK_EQ(b.address - a.address, 256);
        vks_arena_fill_host(&a, 0); // no effect, and no crash, where nothing is mapped
        vks_arena_destroy(&arena);
    }
    vks_arena *arena;
    CHECK_EQ(vks_arena_create(device, (vks_role)99, 0, "odd", &arena), VKSSM_ERR_ARG);
    CHECK(arena == NULL);
    close_device(&device);
}

CHECK_CASE(arena_refuses_absurd_sizes) {
    vks_device *device = open_device();
    if (!device) return;
    uint64_t largest = vks_device_caps(device)->max_allocation_size;
    CHECK(largest >= 1 << 27);
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, UINT64_MAX); // means: the largest possible
    const uint64_t sizes[] = {largest + 1, UINT64_MAX, UINT64_MAX - 255, UINT64_C(1) << 63};
    vks_buffer buffer;
    for (size_t i = 0; i < VKS_COUNT(sizes); i++) {
        CHECK_EQ(vks_arena_alloc(arena, sizes[i], "embedding", &buffer), VKSSM_ERR_OOM_DEVICE);
        char needed[32];
        snprintf(needed, sizeof needed, "%llu", (unsigned long long)sizes[i]);
        CHECK_CONTAINS(vkssm_last_error(), "embedding");
        CHECK_CONTAINS(vkssm_last_error(), needed);
        CHECK_EQ(buffer.size, 0);
    }
    CHECK_EQ(vks_arena_alloc(arena, 0, "nothing", &buffer), VKSSM_ERR_ARG);
    CHECK_EQ(vks_arena_size(arena), 0);
    vks_arena_destroy(&arena);
    close_device(&device);
}

// Takes blocks until the heap is used up. Only on CPU devices, where untouched memory costs nothing.
CHECK_CASE(arena_ends_with_the_budget) {
    vks_device *device = open_device();
    if (!device) return;
    if (vks_device_caps(device)->type != VKS_DEVICE_CPU) {
        close_device(&device);
        CHECK_SKIP("a real GPU's memory is left to others");
    }
    uint64_t before = vks_device_memory_budget(device);
    CHECK(before > 0 && before <= vks_device_caps(device)->memory_size);
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, 256 << 20);
    vks_buffer buffer;
    vkssm_status status = VKSSM_OK;
    for (int i = 0; i < 4096 && status == VKSSM_OK; i++) {
        status = vks_arena_alloc(arena, 256 << 20, "layer", &buffer);
        if (status == VKSSM_OK && !(vks_device_caps(device)->features & VKS_FEATURE_MEMORY_BUDGET))
            CHECK_EQ(vks_device_memory_budget(device) + vks_arena_size(arena), before);
    }
    CHECK_EQ(status, VKSSM_ERR_OOM_DEVICE);
    CHECK_CONTAINS(vkssm_last_error(), "test arena: layer needs 268435");
    CHECK_CONTAINS(vkssm_last_error(), "are free");
    vks_arena_destroy(&arena);
    CHECK(vks_device_memory_budget(device) > 256 << 20);
    close_device(&device);
}

CHECK_CASE(injected_device_memory_failure) {
    vks_device *device = open_device();
    if (!device) return;
    vks_arena *arena = new_arena(device, VKS_ROLE_STATE, 4096);
    vks_buffer buffer;
    vks_device_fail_memory_after(device, 2);
    CHECK_EQ(vks_arena_alloc(arena, 4096, "a", &buffer), VKSSM_OK);
    CHECK_EQ(vks_arena_alloc(arena, 4096, "b", &buffer), VKSSM_OK);
    uint64_t size = vks_arena_size(arena);
    CHECK_EQ(vks_arena_alloc(arena, 4096, "c", &buffer), VKSSM_ERR_OOM_DEVICE);
    CHECK_EQ(vks_arena_alloc(arena, 4096, "c", &buffer), VKSSM_ERR_OOM_DEVICE); // and every later one
    CHECK_CONTAINS(vkssm_last_error(), "test arena: c needs");
    CHECK_EQ(vks_arena_size(arena), size);
    vks_upload *upload;
    CHECK_EQ(vks_upload_begin(device, 1000, NULL, &upload), VKSSM_ERR_OOM_DEVICE);
    CHECK(upload == NULL);
    vks_device_fail_memory_after(device, UINT64_MAX);
    CHECK_EQ(vks_arena_alloc(arena, 4096, "c", &buffer), VKSSM_OK);
    vks_arena_destroy(&arena);
    close_device(&device);
}

// ---- uploads -------------------------------------------------------------------------------------------------------

static bool is_same_on_device(vks_device *device, const vks_buffer *buffer, const uint8_t *wanted) {
    vks_arena *arena = new_arena(device, VKS_ROLE_READBACK, 0);
    vks_buffer back;
    vks_recorder *recorder;
    CHECK_EQ(vks_arena_alloc(arena, buffer->size, "back", &back), VKSSM_OK);
    CHECK_EQ(vks_recorder_create(device, "back", &recorder), VKSSM_OK);
    CHECK_EQ(vks_recorder_begin(recorder, false), VKSSM_OK);
    vks_record_copy(recorder, &back, 0, buffer, 0, buffer->size);
    CHECK_EQ(vks_recorder_end(recorder), VKSSM_OK);
    CHECK_EQ(submit_and_wait(device, recorder), VKSSM_OK);
    bool same = memcmp(back.mapped, wanted, (size_t)buffer->size) == 0;
    vks_recorder_destroy(&recorder);
    vks_arena_destroy(&arena);
    return same;
}

typedef struct progress_seen {
    uint64_t n_call, last, total, cancel_at;
} progress_seen;

static bool on_progress(void *user, uint64_t done, uint64_t total) {
    progress_seen *seen = user;
    CHECK(done >= seen->last);
    CHECK(done <= total);
    seen->n_call++;
    seen->last = done;
    seen->total = total;
    return done < seen->cancel_at;
}

static uint8_t *random_bytes(size_t size) {
    uint8_t *data = malloc(size);
    uint64_t state = 1;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(check_random(&state) >> 56);
    return data;
}

CHECK_CASE(upload_larger_than_its_ring) {
    vks_device *device = open_device();
    if (!device) return;
    const uint64_t size = (21 << 20) + 12345; // more than once around the ring, and odd
    uint8_t *data = random_bytes(size);
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, 0);
    vks_buffer buffer;
    CHECK_EQ(vks_arena_alloc(arena, size, "weights", &buffer), VKSSM_OK);
    progress_seen seen = {.cancel_at = UINT64_MAX};
    const vkssm_progress progress = {.callback = on_progress, .user = &seen};
    vks_upload *upload;
    CHECK_EQ(vks_upload_begin(device, size, &progress, &upload), VKSSM_OK);
    uint64_t done = 0, state = 2;
    while (done < size) { // pieces of all sizes, by both ways
        uint64_t piece = check_random(&state) % (6 << 20);
        if (check_random(&state) % 2) piece %= 1000;
        if (piece > size - done) piece = size - done;
        if (check_random(&state) % 2) {
            CHECK_EQ(vks_upload_bytes(upload, &buffer, done, data + done, piece), VKSSM_OK);
        } else {
            if (piece > vks_upload_max_size(upload)) piece = vks_upload_max_size(upload);
            void *memory;
            CHECK_EQ(vks_upload_map(upload, &buffer, done, piece, &memory), VKSSM_OK);
            if (memory) memcpy(memory, data + done, piece);
        }
        done += piece;
    }
    CHECK_EQ(vks_upload_end(&upload), VKSSM_OK);
    CHECK(upload == NULL);
    CHECK(seen.n_call > 5);
    CHECK_EQ(seen.last, size);
    CHECK_EQ(seen.total, size);
    CHECK(is_same_on_device(device, &buffer, data));
    free(data);
    vks_arena_destroy(&arena);
    close_device(&device);
}

CHECK_CASE(upload_overwrites_in_order) {
    vks_device *device = open_device();
    if (!device) return;
    uint8_t *data = random_bytes(3000);
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, 0);
    vks_buffer buffer;
    CHECK_EQ(vks_arena_alloc(arena, 3000, "weights", &buffer), VKSSM_OK);
    vks_upload *upload;
    CHECK_EQ(vks_upload_begin(device, 0, NULL, &upload), VKSSM_OK); // the total may be unknown
    for (int i = 0; i < 50; i++)
        CHECK_EQ(vks_upload_bytes(upload, &buffer, 0, data + i, 2000), VKSSM_OK);
    CHECK_EQ(vks_upload_bytes(upload, &buffer, 0, data, 3000), VKSSM_OK);
    CHECK_EQ(vks_upload_bytes(upload, &buffer, 3000, data, 0), VKSSM_OK);
    CHECK_EQ(vks_upload_end(&upload), VKSSM_OK);
    CHECK(is_same_on_device(device, &buffer, data));
    free(data);
    vks_arena_destroy(&arena);
    close_device(&device);
}

CHECK_CASE(upload_cancelled) {
    vks_device *device = open_device();
    if (!device) return;
    const uint64_t size = 12 << 20;
    uint8_t *data = random_bytes(size);
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, 0);
    vks_buffer buffer;
    CHECK_EQ(vks_arena_alloc(arena, size, "weights", &buffer), VKSSM_OK);
    progress_seen seen = {.cancel_at = 1};
    const vkssm_progress progress = {.callback = on_progress, .user = &seen};
    vks_upload *upload;
    CHECK_EQ(vks_upload_begin(device, size, &progress, &upload), VKSSM_OK);
    CHECK_EQ(vks_upload_bytes(upload, &buffer, 0, data, size), VKSSM_ERR_CANCELLED);
    void *memory;
    CHECK_EQ(vks_upload_map(upload, &buffer, 0, 16, &memory), VKSSM_ERR_CANCELLED);
    CHECK_EQ(vks_upload_end(&upload), VKSSM_ERR_CANCELLED);
    CHECK(upload == NULL);
    CHECK_EQ(seen.n_call, 1);
    seen = (progress_seen){.cancel_at = 1}; // the last report counts too
    CHECK_EQ(vks_upload_begin(device, 100, &progress, &upload), VKSSM_OK);
    CHECK_EQ(vks_upload_bytes(upload, &buffer, 0, data, 100), VKSSM_OK);
    CHECK_EQ(vks_upload_end(&upload), VKSSM_ERR_CANCELLED);
    CHECK_EQ(vks_upload_begin(device, 100, NULL, &upload), VKSSM_OK); // the device goes on
    vks_upload_abort(&upload);
    vks_upload_abort(&upload);
    free(data);
    vks_arena_destroy(&arena);
    close_device(&device);
}

CHECK_CASE(upload_refuses_wrong_ranges) {
    vks_device *device = open_device();
    if (!device) return;
    vks_arena *arena = new_arena(device, VKS_ROLE_WEIGHTS, 4096);
    vks_buffer buffer;
    CHECK_EQ(vks_arena_alloc(arena, 1000, "weights", &buffer), VKSSM_OK);
    const struct {
        uint64_t offset, size;
    } ranges[] = {{0, 1001}, {1000, 1}, {1001, 0}, {UINT64_MAX, 2}, {1, UINT64_MAX}};
    uint8_t byte = 0;
    for (size_t i = 0; i < VKS_COUNT(ranges); i++) {
        vks_upload *upload;
        CHECK_EQ(vks_upload_begin(device, 100, NULL, &upload), VKSSM_OK);
        CHECK_EQ(vks_upload_bytes(upload, &buffer, ranges[i].offset, &byte, ranges[i].size), VKSSM_ERR_ARG);
        CHECK_CONTAINS(vkssm_last_error(), "1000 bytes");
        CHECK_EQ(vks_upload_end(&upload), VKSSM_ERR_ARG);
    }
    vks_upload *upload = NULL;
    CHECK_EQ(vks_upload_end(&upload), VKSSM_ERR_ARG);
    vks_buffer large;
    CHECK_EQ(vks_arena_alloc(arena, 8 << 20, "large", &large), VKSSM_OK);
    CHECK_EQ(vks_upload_begin(device, 100, NULL, &upload), VKSSM_OK);
    void *memory;
    CHECK_EQ(vks_upload_map(upload, &large, 0, vks_upload_max_size(upload) + 1, &memory), VKSSM_ERR_ARG);
    CHECK(memory == NULL);
    vks_upload_abort(&upload);
    vks_arena_destroy(&arena);
    close_device(&device);
}

// The n-th allocation of host memory fails, for every n: an error, nothing kept, and the next attempt is whole.
CHECK_CASE(out_of_host_memory) {
    vks_device *device = open_device();
    if (!device) return;
    uint64_t live = vks_alloc_n_live();
    vkssm_status status = VKSSM_ERR_OOM_HOST;
    uint64_t n = 0;
    uint8_t data[300] = {1};
    for (; n < 200 && status == VKSSM_ERR_OOM_HOST; n++) {
        vks_arena *arena = NULL;
        vks_upload *upload = NULL;
        vks_buffer buffer;
        vks_alloc_fail_after(n);
        status = vks_arena_create(device, VKS_ROLE_STATE, 4096, "test", &arena);
        if (status == VKSSM_OK) status = vks_arena_alloc(arena, 300, "a", &buffer);
        if (status == VKSSM_OK) status = vks_upload_begin(device, 300, NULL, &upload);
        if (status == VKSSM_OK) status = vks_upload_bytes(upload, &buffer, 0, data, 300);
        if (upload) {
            vkssm_status end_status = vks_upload_end(&upload);
            CHECK(status == VKSSM_OK || end_status == status);
            status = end_status;
        }
        vks_alloc_fail_after(UINT64_MAX);
        vks_arena_destroy(&arena);
        CHECK_EQ(vks_alloc_n_live(), live + (device->submit_infos != NULL)); // the device keeps its list of submissions
    }
    CHECK_EQ(status, VKSSM_OK);
    CHECK(n > 8);
    close_device(&device);
}

int main(int argc, char **argv) {
    return vk_test_main(argc, argv,
                        (check_case[]){CHECK_RUN(arena_grows_by_blocks),
                                       CHECK_RUN(arena_roles),
                                       CHECK_RUN(arena_refuses_absurd_sizes),
                                       CHECK_RUN(arena_ends_with_the_budget),
                                       CHECK_RUN(injected_device_memory_failure),
                                       CHECK_RUN(upload_larger_than_its_ring),
                                       CHECK_RUN(upload_overwrites_in_order),
                                       CHECK_RUN(upload_cancelled),
                                       CHECK_RUN(upload_refuses_wrong_ranges),
                                       CHECK_RUN(out_of_host_memory),
                                       {0}});
}
