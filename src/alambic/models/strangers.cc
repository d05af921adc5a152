#include "alambic/models/strangers.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "alambic/base/workplace.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

// Of a model as programs publish it, and of what our training and measuring leave with it.
constexpr std::string_view kNames[] = {"README.md",
                                       "LICENSE",
                                       "LICENSE.txt",
                                       "USE_POLICY.md",
                                       ".gitattributes",
                                       "config.json",
                                       "generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer.model",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "vocab.txt",
                                       "merges.txt",
                                       "spiece.model",
                                       "sentencepiece.bpe.model",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "adapter_config.json",
                                       "alambic.json",
                                       "training.json",
                                       "trained_on.json",
                                       "metrics.jsonl",
                                       "held_out.jsonl",
                                       "adaptation.json",
                                       "own_texts.sqlite",
                                       "own_texts.sqlite-wal",
                                       "own_texts.sqlite-shm",
                                       "on_policy.json",
                                       "on_policy.sqlite",
                                       "on_policy.sqlite-wal",
                                       "on_policy.sqlite-shm",
                                       "partial.txt"};

bool is_of_a_model(const std::string& name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
         is_temporary_name(name);
}

void look(const fs::path& directory, const std::string& inside, std::vector<std::string>& found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory(error)) {
      if (!is_of_a_model(name)) found.push_back(inside + name);
    } else if (name == "unpolished" && inside.empty()) {
      look(entry.path(), name + "/", found);
    } else if (!fs::is_empty(entry.path(), error)) {
      found.push_back(inside + name + "/");
    }
  }
}

}  // namespace

std::vector<std::string> not_of_a_model(const std::string& directory) {
  std::vector<std::string> found;
  look(directory, "", found);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace alambic
