#include "alambic/eval/baseline.h"

#include <algorithm>
#include <map>

#include "alambic/base/error.h"

namespace alambic {
namespace {

void require_examples(size_t prompts, size_t answers) {
  if (prompts != answers || prompts == 0) {
    fail(ErrorCode::kInvalidArgument,
         "[baseline] training texts and answers must pair up; got {} and {}, want equal and not 0",
         prompts, answers);
  }
}

}  // namespace

const std::string& most_frequent(std::span<const std::string> items) {
  require_examples(items.size(), items.size());
  std::map<std::string_view, std::pair<int64_t, const std::string*>> counts;
  for (const std::string& item : items) {
    auto& [count, where] = counts.try_emplace(item, 0, &item).first->second;
    ++count;
  }
  const auto best = std::max_element(
      counts.begin(), counts.end(),
      [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
  return *best->second.second;
}

NearestNeighbour::NearestNeighbour(std::span<const std::string> prompts,
                                   std::span<const std::string> completions)
    : tfidf_((require_examples(prompts.size(), completions.size()), prompts)),
      completions_(completions.begin(), completions.end()),
      postings_(tfidf_.features()) {
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (const Feature& feature : tfidf_.transform(prompts[i])) {
      postings_[feature.index].push_back({static_cast<uint32_t>(i), feature.weight});
    }
  }
}

const std::string& NearestNeighbour::complete(std::string_view prompt) const {
  std::vector<float> cosine(completions_.size(), 0.0F);
  for (const Feature& feature : tfidf_.transform(prompt)) {
    for (const Feature& posting : postings_[feature.index]) {
      cosine[posting.index] += feature.weight * posting.weight;
    }
  }
  return completions_[static_cast<size_t>(std::max_element(cosine.begin(), cosine.end()) -
                                          cosine.begin())];
}

}  // namespace alambic
