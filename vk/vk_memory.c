// Device memory: arenas that take large blocks, one VkBuffer each, and hand out aligned ranges of them.
#include "vk_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t size, used;  // of the buffer; used includes what alignment took
    uint64_t memory_size; // of the memory
    uint64_t address;
    uint8_t *mapped;
} block;

struct vks_arena {
    vks_device *device;
    vks_role role;
    uint64_t block_size;
    char *name;
    block *blocks;
    size_t n_block, block_capacity;
};

static const uint64_t default_block_size = (uint64_t)64 << 20;

static const VkBufferUsageFlags usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT |
                                        VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;

// ---- memory types --------------------------------------------------------------------------------------------------

// Types that need a feature of their own to be enabled, or that no buffer can use.
static const VkMemoryPropertyFlags forbidden =
    VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |
    VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;

static bool is_host_role(vks_role role) {
    return role == VKS_ROLE_UPLOAD || role == VKS_ROLE_READBACK;
}

// How well a memory type fits a role; -1: not at all.
static int score_of(vks_role role, VkMemoryPropertyFlags flags) {
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    bool is_local = flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    bool is_cached = flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    if (flags & forbidden) return -1;
    // The part of device memory that the host sees can be small: leave it to others.
    if (!is_host_role(role)) return 2 * is_local + !(flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    if ((flags & host) != host) return -1;
    if (role == VKS_ROLE_READBACK) return 2 * is_cached + !is_local;
    return 2 * !is_local + !is_cached; // written once, in order: combining writes beats a cache
}

static void choose_type(const vks_device *device, vks_role role, uint32_t allowed, uint32_t *out) {
    int best = -1;
    uint64_t best_size = 0;
    const VkPhysicalDeviceMemoryProperties *memory = &device->memory;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        if (!(allowed >> i & 1)) continue;
        int score = score_of(role, memory->memoryTypes[i].propertyFlags);
        uint64_t size = memory->memoryHeaps[memory->memoryTypes[i].heapIndex].size;
        if (score < 0 || score < best || (score == best && size <= best_size)) continue;
        best = score;
        best_size = size;
        *out = i;
    }
}

static VkBufferCreateInfo buffer_info(uint64_t size) {
    return (VkBufferCreateInfo){
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = usage,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
}

void vks_memory_start(vks_device *device) {
    device->instance.fn.GetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
    const VkBufferCreateInfo buffer = buffer_info(VKS_ALIGNMENT);
    const VkDeviceBufferMemoryRequirements question = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_BUFFER_MEMORY_REQUIREMENTS,
        .pCreateInfo = &buffer,
    };
    VkMemoryRequirements2 needs = {.sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2};
    device->fn.GetDeviceBufferMemoryRequirements(device->handle, &question, &needs);
    device->memory_slack = needs.memoryRequirements.alignment % VKS_ALIGNMENT ? VKS_ALIGNMENT : 0;
    for (int role = 0; role < VKS_N_ROLE; role++) {
        // A device that only compiles, such as a driver's null device, has none: that is found out by who allocates.
        device->memory_type[role] = VKS_NO_MEMORY_TYPE;
        choose_type(device, (vks_role)role, needs.memoryRequirements.memoryTypeBits, &device->memory_type[role]);
    }
}

// ---- budget --------------------------------------------------------------------------------------------------------

static uint64_t minus(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t heap_left(const vks_device *device, uint32_t heap) {
    if (!(device->probe.caps.features & VKS_FEATURE_MEMORY_BUDGET))
        return minus(device->memory.memoryHeaps[heap].size, atomic_load(&device->memory_taken[heap]));
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                                    .pNext = &budget};
    device->instance.fn.GetPhysicalDeviceMemoryProperties2(device->physical, &properties);
    return minus(budget.heapBudget[heap], budget.heapUsage[heap]);
}

uint64_t vks_device_memory_budget(const vks_device *device) {
    uint32_t type = device->memory_type[VKS_ROLE_WEIGHTS];
    return type == VKS_NO_MEMORY_TYPE ? 0 : heap_left(device, device->memory.memoryTypes[type].heapIndex);
}

void vks_device_fail_memory_after(vks_device *device, uint64_t n) {
    atomic_store(&device->n_memory_until_failure, n);
}

void vks_device_limit_allocation(vks_device *device, uint64_t size) {
    device->probe.caps.max_allocation_size = size;
}

static bool must_fail(vks_device *device) {
    uint_fast64_t n = atomic_load(&device->n_memory_until_failure);
    if (n == UINT64_MAX) return false;
    if (n == 0) return true;
    atomic_fetch_sub(&device->n_memory_until_failure, 1);
    return false;
}

// ---- blocks --------------------------------------------------------------------------------------------------------

static void destroy_block(vks_arena *arena, block *b) {
    vks_device *device = arena->device;
    if (b->buffer) device->fn.DestroyBuffer(device->handle, b->buffer, device->allocator);
    if (b->memory) { // freeing unmaps
        device->fn.FreeMemory(device->handle, b->memory, device->allocator);
        uint32_t heap = device->memory.memoryTypes[device->memory_type[arena->role]].heapIndex;
        atomic_fetch_sub(&device->memory_taken[heap], b->memory_size);
    }
    memset(b, 0, sizeof *b);
}

static vkssm_status fail_no_memory(const vks_arena *arena, const char *name, uint64_t needed, uint64_t found) {
    return vks_fail(&arena->device->log, VKSSM_ERR_OOM_DEVICE,
                    "%s: %s needs %llu bytes of %s memory in one block, %llu are free", arena->name, name,
                    (unsigned long long)needed, is_host_role(arena->role) ? "host-visible" : "device",
                    (unsigned long long)found);
}

static vkssm_status allocate_memory(vks_arena *arena, const char *name, block *b) {
    vks_device *device = arena->device;
    VkMemoryRequirements needs;
    device->fn.GetBufferMemoryRequirements(device->handle, b->buffer, &needs);
    uint32_t type = device->memory_type[arena->role], heap = device->memory.memoryTypes[type].heapIndex;
    uint64_t left = heap_left(device, heap);
    if (needs.size > left) return fail_no_memory(arena, name, needs.size, left);
    if (must_fail(device)) return fail_no_memory(arena, name, needs.size, 0);
    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = needs.size,
        .memoryTypeIndex = type,
    };
    VkResult result = device->fn.AllocateMemory(device->handle, &info, device->allocator, &b->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_TOO_MANY_OBJECTS)
        return fail_no_memory(arena, name, needs.size, left);
    VKS_TRY(vks_check(device, result, "vkAllocateMemory"));
    b->memory_size = needs.size;
    atomic_fetch_add(&device->memory_taken[heap], needs.size);
    return VKSSM_OK;
}

static vkssm_status fill_block(vks_arena *arena, const char *name, uint64_t size, block *b) {
    vks_device *device = arena->device;
    const VkBufferCreateInfo info = buffer_info(size);
    VkResult result = device->fn.CreateBuffer(device->handle, &info, device->allocator, &b->buffer);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY) return fail_no_memory(arena, name, size, 0);
    VKS_TRY(vks_check(device, result, "vkCreateBuffer"));
    VKS_TRY(allocate_memory(arena, name, b));
    VKS_TRY(
        vks_check(device, device->fn.BindBufferMemory(device->handle, b->buffer, b->memory, 0), "vkBindBufferMemory"));
    const VkBufferDeviceAddressInfo address_info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = b->buffer,
    };
    b->size = size;
    b->address = device->fn.GetBufferDeviceAddress(device->handle, &address_info);
    b->used = vks_align_up(b->address, VKS_ALIGNMENT) - b->address;
    void *mapped = NULL;
    if (is_host_role(arena->role))
        VKS_TRY(vks_check(device, device->fn.MapMemory(device->handle, b->memory, 0, VK_WHOLE_SIZE, 0, &mapped),
                          "vkMapMemory"));
    b->mapped = mapped;
    char label[128];
    snprintf(label, sizeof label, "%s, block %zu", arena->name, arena->n_block);
    VKS_SET_NAME(device, BUFFER, b->buffer, label);
    VKS_SET_NAME(device, DEVICE_MEMORY, b->memory, label);
    return VKSSM_OK;
}

// `size` is aligned and at most the largest allocation.
static vkssm_status add_block(vks_arena *arena, const char *name, uint64_t size) {
    vks_device *device = arena->device;
    if (!vks_grow((void **)&arena->blocks, &arena->block_capacity, arena->n_block + 1, sizeof *arena->blocks))
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for %s", arena->name, name);
    block *b = &arena->blocks[arena->n_block];
    memset(b, 0, sizeof *b);
    if (size < arena->block_size) size = arena->block_size;
    vkssm_status status = fill_block(arena, name, size + device->memory_slack, b);
    if (status == VKSSM_OK && b->size - b->used < size)
        status = vks_fail(&device->log, VKSSM_ERR_INTERNAL, "%s: block at address 0x%llx is not aligned to %u bytes",
                          arena->name, (unsigned long long)b->address, VKS_ALIGNMENT);
    if (status != VKSSM_OK) {
        destroy_block(arena, b);
        return status;
    }
    arena->n_block++;
    return VKSSM_OK;
}

// ---- arenas --------------------------------------------------------------------------------------------------------

vkssm_status vks_arena_create(vks_device *device, vks_role role, uint64_t block_size, const char *name,
                              vks_arena **out) {
    *out = NULL;
    if (!name) name = "arena";
    if ((unsigned)role >= VKS_N_ROLE) return vks_fail(&device->log, VKSSM_ERR_ARG, "%s: no role %d", name, (int)role);
    vks_arena *arena = vks_alloc_zero(1, sizeof *arena);
    char *copy = vks_strdup(name);
    if (!arena || !copy) {
        vks_free(arena);
        vks_free(copy);
        return vks_fail(&device->log, VKSSM_ERR_OOM_HOST, "%s: out of memory for an arena", name);
    }
    uint64_t largest = device->probe.caps.max_allocation_size;
    if (block_size == 0) block_size = default_block_size;
    *arena = (vks_arena){
        .device = device,
        .role = role,
        .block_size = block_size < largest ? vks_align_up(block_size, VKS_ALIGNMENT) : largest,
        .name = copy,
    };
    *out = arena;
    return VKSSM_OK;
}

void vks_arena_destroy(vks_arena **arena_pointer) {
    vks_arena *arena = *arena_pointer;
    *arena_pointer = NULL;
    if (!arena) return;
    for (size_t i = 0; i < arena->n_block; i++)
        destroy_block(arena, &arena->blocks[i]);
    vks_free(arena->blocks);
    vks_free(arena->name);
    vks_free(arena);
}

static void take(block *b, uint64_t size, uint64_t aligned_size, vks_buffer *out) {
    *out = (vks_buffer){
        .address = b->address + b->used,
        .size = size,
        .mapped = b->mapped ? b->mapped + b->used : NULL,
        .handle = b->buffer,
        .offset = b->used,
    };
    b->used += aligned_size;
}

vkssm_status vks_arena_alloc(vks_arena *arena, uint64_t size, const char *name, vks_buffer *out) {
    vks_device *device = arena->device;
    memset(out, 0, sizeof *out);
    if (!name) name = "buffer";
    VKS_TRY(vks_check_not_lost(device));
    if (size == 0) return vks_fail(&device->log, VKSSM_ERR_ARG, "%s: %s has 0 bytes", arena->name, name);
    if (device->memory_type[arena->role] == VKS_NO_MEMORY_TYPE)
        return vks_fail(&device->log, VKSSM_ERR_UNSUPPORTED, "%s: device %s has no %s memory for buffers", arena->name,
                        device->probe.caps.name, is_host_role(arena->role) ? "host-visible" : "device");
    uint64_t largest = device->probe.caps.max_allocation_size;
    if (size > largest)
        return vks_fail(&device->log, VKSSM_ERR_OOM_DEVICE,
                        "%s: %s needs %llu bytes in one block, the device's largest is %llu", arena->name, name,
                        (unsigned long long)size, (unsigned long long)largest);
    uint64_t aligned = vks_align_up(size, VKS_ALIGNMENT);
    for (size_t i = 0; i < arena->n_block; i++) {
        block *b = &arena->blocks[i];
        if (b->size - b->used < aligned) continue;
        take(b, size, aligned, out);
        return VKSSM_OK;
    }
    VKS_TRY(add_block(arena, name, aligned));
    take(&arena->blocks[arena->n_block - 1], size, aligned, out);
    return VKSSM_OK;
}

uint64_t vks_arena_size(const vks_arena *arena) {
    uint64_t size = 0;
    for (size_t i = 0; i < arena->n_block; i++)
        size += arena->blocks[i].memory_size;
    return size;
}

void vks_arena_fill_host(vks_buffer *buffer, int byte) {
    if (buffer->mapped) memset(buffer->mapped, byte, (size_t)buffer->size);
}
