// vkssm: structured state-space models on any Vulkan GPU. This header includes all the others.
#ifndef VKSSM_VKSSM_H
#define VKSSM_VKSSM_H

#include <vkssm/base.h>        // status, log, data types
#include <vkssm/device.h>      // a Vulkan device
#include <vkssm/scan.h>        // scans over host arrays, user-defined operators
#include <vkssm/conv_s5.h>     // ConvS5 over host arrays
#include <vkssm/selective_scan.h> // Mamba-1's scan over host arrays
#include <vkssm/tensor_file.h> // safetensors
#include <vkssm/tokenizer.h>   // text and token ids
#include <vkssm/model.h>       // weights on a device
#include <vkssm/session.h>     // prefill, step, generate, states
#include <vkssm/tensor_model.h> // tensors to tensors: run, stream
#include <vkssm/quantize.h>     // weights in fewer bits, as GGUF files
#include <vkssm/bench.h>        // measurements
#include <vkssm/device_check.h> // does a device compute what it should

#endif
