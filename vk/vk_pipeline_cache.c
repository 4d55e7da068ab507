// The pipeline cache on disk: a header of our own, that ties it to a device and a driver and tells damage, then
// Vulkan's blob. A file that does not fit is ignored: the pipelines are then compiled again, and the file replaced.
#include "vk_internal.h"

#include <string.h>

#include "host/base/file.h"

// All integers little-endian:
//   0 magic [8]   8 version u32   12 vendor u32   16 device u32   20 driver version u32   24 pipelineCacheUUID [16]
//   40 size of the payload u64   48 checksum of bytes 0 ... 47 and the payload u64   56 payload
static const uint8_t magic[8] = {'V', 'K', 'S', 'S', 'M', 'P', 'L', 'C'};
enum { VERSION = 1, CHECKSUM_OFFSET = 48, HEADER_SIZE = 56 };

// FNV-1a: it guards against damage, not against malice.
static uint64_t checksum(uint64_t sum, const uint8_t *data, uint64_t size) {
    for (uint64_t i = 0; i < size; i++)
        sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

static const uint64_t checksum_start = 0xcbf29ce484222325u;

static void put(uint8_t *out, uint64_t value, int n_byte) {
    for (int i = 0; i < n_byte; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *data, int n_byte) {
    uint64_t value = 0;
    for (int i = 0; i < n_byte; i++)
        value |= (uint64_t)data[i] << 8 * i;
    return value;
}

// The header without its checksum.
static void make_header(const vks_device *device, uint64_t payload_size, uint8_t header[HEADER_SIZE]) {
    memset(header, 0, HEADER_SIZE);
    memcpy(header, magic, sizeof magic);
    put(header + 8, VERSION, 4);
    put(header + 12, device->probe.caps.vendor_id, 4);
    put(header + 16, device->probe.caps.device_id, 4);
    put(header + 20, device->probe.driver_version, 4);
    memcpy(header + 24, device->probe.cache_uuid, VK_UUID_SIZE);
    put(header + 40, payload_size, 8);
}

static uint64_t sum_of(const uint8_t header[HEADER_SIZE], const uint8_t *payload, uint64_t size) {
    return checksum(checksum(checksum_start, header, CHECKSUM_OFFSET), payload, size);
}

// NULL, or why the file is of no use.
static const char *find_fault(const vks_device *device, const uint8_t *data, uint64_t size) {
    if (size < HEADER_SIZE) return "it is shorter than its header";
    uint8_t wanted[HEADER_SIZE];
    make_header(device, size - HEADER_SIZE, wanted);
    if (memcmp(data, wanted, 8) != 0) return "it is no pipeline cache of vkssm";
    if (memcmp(data + 8, wanted + 8, 4) != 0) return "it is of another version of vkssm";
    if (memcmp(data + 12, wanted + 12, 28) != 0) return "it is of another device or driver";
    if (memcmp(data + 40, wanted + 40, 8) != 0) return "it is not as long as its header says";
    if (get(data + CHECKSUM_OFFSET, 8) != sum_of(data, data + HEADER_SIZE, size - HEADER_SIZE))
        return "its checksum is wrong";
    return NULL;
}

static VkResult create_cache(vks_device *device, const uint8_t *data, uint64_t size) {
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = (size_t)size,
        .pInitialData = data,
    };
    return device->fn.CreatePipelineCache(device->handle, &info, device->allocator, &device->pipeline_cache);
}

static void load(vks_device *device) {
    if (!device->cache_path || !vks_path_exists(device->cache_path)) return;
    vks_file_map map;
    const char *fault = "it cannot be read";
    if (vks_file_map_open(device->cache_path, NULL, &map) == VKSSM_OK) {
        fault = find_fault(device, map.data, map.size);
        uint64_t payload_size = fault ? 0 : map.size - HEADER_SIZE;
        if (!fault && create_cache(device, map.data + HEADER_SIZE, payload_size) != VK_SUCCESS)
            fault = "the driver does not accept it";
        if (!fault) {
            device->cache_size = payload_size;
            device->cache_checksum = get(map.data + CHECKSUM_OFFSET, 8);
            vks_log(&device->log, VKSSM_LOG_DEBUG, "%s: %llu bytes of compiled pipelines", device->cache_path,
                    (unsigned long long)payload_size);
        }
        vks_file_map_close(&map);
    }
    if (fault) vks_log(&device->log, VKSSM_LOG_INFO, "%s: pipeline cache ignored: %s", device->cache_path, fault);
}

void vks_cache_start(vks_device *device) {
    load(device);
    if (!device->pipeline_cache && create_cache(device, NULL, 0) != VK_SUCCESS)
        device->pipeline_cache = VK_NULL_HANDLE; // which every use of it allows
    VKS_SET_NAME(device, PIPELINE_CACHE, device->pipeline_cache, "vkssm pipeline cache");
}

static vkssm_status write_file(vks_device *device, const uint8_t *header, const uint8_t *payload, uint64_t size) {
    vks_file_write file;
    vkssm_status status = vks_file_write_begin(device->cache_path, NULL, &file);
    if (status == VKSSM_OK) status = vks_file_write_bytes(&file, header, HEADER_SIZE);
    if (status == VKSSM_OK) status = vks_file_write_bytes(&file, payload, size);
    if (status == VKSSM_OK) return vks_file_write_commit(&file);
    vks_file_write_abort(&file);
    return status;
}

static void save(vks_device *device) {
    size_t size = 0;
    if (device->fn.GetPipelineCacheData(device->handle, device->pipeline_cache, &size, NULL) != VK_SUCCESS) return;
    uint8_t *payload = vks_alloc(size);
    if (!payload) return;
    if (device->fn.GetPipelineCacheData(device->handle, device->pipeline_cache, &size, payload) == VK_SUCCESS) {
        uint8_t header[HEADER_SIZE];
        make_header(device, size, header);
        uint64_t sum = sum_of(header, payload, size);
        put(header + CHECKSUM_OFFSET, sum, 8);
        bool changed = size != device->cache_size || sum != device->cache_checksum;
        if (changed && write_file(device, header, payload, size) != VKSSM_OK)
            vks_log(&device->log, VKSSM_LOG_WARNING, "pipeline cache not kept: %s", vkssm_last_error());
    }
    vks_free(payload);
}

void vks_cache_finish(vks_device *device) {
    if (!device->pipeline_cache) return;
    if (device->cache_path && !vks_device_is_lost(device)) save(device);
    device->fn.DestroyPipelineCache(device->handle, device->pipeline_cache, device->allocator);
    device->pipeline_cache = VK_NULL_HANDLE;
}
