#include "alambic/data/split.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

// FNV-1a over the text with ASCII letters lowered and runs of white space made one.
uint64_t folded_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  bool gap = false, started = false;
  const auto add = [&hash](char c) { hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL; };
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      gap = started;
      continue;
    }
    if (gap) add(' ');
    gap = false;
    started = true;
    add(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return hash;
}

}  // namespace

Splits split_by_prompt(std::vector<Example> examples, const SplitOptions& options) {
  if (!(options.validation >= 0 && options.test >= 0 && options.validation + options.test < 1)) {
    fail(ErrorCode::kInvalidArgument,
         "[split] validation {} and test {}; want shares from 0 that leave some to train on",
         options.validation, options.test);
  }
  Splits splits;
  for (Example& example : examples) {
    const std::string& key = example.prompt.empty() ? example.completion : example.prompt;
    const double place = Rng(options.seed, folded_hash(key)).uniform();
    std::vector<Example>& part = place < options.test                        ? splits.test
                                 : place < options.test + options.validation ? splits.validation
                                                                             : splits.train;
    part.push_back(std::move(example));
  }
  return splits;
}

std::vector<Example> remove_duplicates(std::vector<Example> examples,
                                       std::vector<LeftOut>& left_out) {
  std::unordered_map<std::string, std::string> seen;  // where
  std::erase_if(examples, [&](const Example& example) {
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    const auto [first, fresh] = seen.try_emplace(
        fmt::format("{}:{}{}", example.prompt.size(), example.prompt, example.completion),
        place_of(example));
    if (!fresh) {
      left_out.push_back({LeftOut::Reason::kDuplicate, place_of(example), "of " + first->second});
    }
    return !fresh;
  });
  return examples;
}

}  // namespace alambic
