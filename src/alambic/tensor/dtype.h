// Element types of stored tensors, with the names of the safetensors format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace alambic {

enum class DType : uint8_t { kF32, kF16, kBf16, kF64, kI8, kU8, kI16, kI32, kI64, kBool };

size_t dtype_size(DType dtype);            // bytes per element
std::string_view dtype_name(DType dtype);  // "F32", "BF16", "I64", …
std::optional<DType> dtype_from_name(
    std::string_view name);  // nullopt for a name that is not listed here

}  // namespace alambic
