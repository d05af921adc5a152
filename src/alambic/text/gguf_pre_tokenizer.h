// What the names in a GGUF file's tokenizer.ggml.pre stand for: the settings of the byte-level
// tokenizers of published models. Ownership: plain values. Thread safety: stateless. Errors:
// kUnsupported listing the names that are known.
#pragma once

#include <string_view>

#include "alambic/base/json.h"

namespace alambic {

// A tokenizer.json without vocabulary.
Json gguf_byte_level_settings(std::string_view name, std::string_view where);

}  // namespace alambic
