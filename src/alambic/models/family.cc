#include "alambic/models/family.h"

#include <fmt/format.h>

#include "alambic/base/error.h"

namespace alambic {

std::span<const Family* const> families() {
  static const Family* const all[] = {&kLlama, &kMistral, &kQwen2, &kQwen3, &kGpt2,
                                      &kGptJ,  &kGptNeox, &kBloom, &kLlada, &kDream};
  return all;
}

const Family& family_of(const Json& config, std::string_view where) {
  const auto type = require<std::string>(config, "model_type", where);
  std::string supported;
  for (const Family* family : families()) {
    if (family->model_type == type) return *family;
    supported += fmt::format("{}{}", supported.empty() ? "" : ", ", family->model_type);
  }
  fail(ErrorCode::kUnsupported, "[{}] model_type \"{}\"; supported: {}", where, type, supported);
}

const Family& family_named(std::string_view model_type) {
  for (const Family* family : families()) {
    if (family->model_type == model_type) return *family;
  }
  ALAMBIC_CHECK(false && "a family of ours");
  return kLlama;
}

}  // namespace alambic
