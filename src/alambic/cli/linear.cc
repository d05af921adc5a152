#include "alambic/cli/linear.h"

#include <fmt/format.h>

#include <algorithm>

#include "alambic/base/printable.h"
#include "alambic/cli/output.h"

namespace alambic {

LinearClassifier open_linear(const CLI::App& verb, const std::string& directory,
                             std::initializer_list<std::string_view> used) {
  for (const CLI::Option* option : verb.get_options()) {
    const std::string name = option->get_name();
    const bool for_it = !name.starts_with("--") || name == "--help" ||
                        std::find(used.begin(), used.end(), name) != used.end();
    if (option->count() == 0 || for_it) continue;
    fail(ErrorCode::kInvalidArgument, "[{}] is for language models; {} is a linear classifier: {}",
         name, directory, "leave it out");
  }
  return LinearClassifier::load(directory);
}

void remark_long_texts(std::span<const std::string> texts) {
  const auto count = std::count_if(texts.begin(), texts.end(), [](const std::string& text) {
    return text.size() > TfIdf::kMaxBytes;
  });
  if (count == 0) return;
  print_remark(fmt::format("{}: only the first {} bytes are read",
                           counted(static_cast<long long>(count), "text") + " too long",
                           TfIdf::kMaxBytes));
}

}  // namespace alambic
