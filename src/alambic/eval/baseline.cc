#include "alambic/eval/baseline.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

constexpr int kMinChars = 3, kMaxChars = 5;
constexpr size_t kMaxClasses = 2000;
// Ceiling on the separator's floats (256 MB): more classes leave room for fewer features.
constexpr size_t kMaxWeights = size_t{1} << 26;
constexpr size_t kMaxAlphas = size_t{1} << 28;  // one float for each example and class
constexpr size_t kMaxText = size_t{1} << 16;    // bytes of a text that count
constexpr size_t kLanes = 16;

uint64_t hash_bytes(std::string_view bytes, uint64_t kind) {
  uint64_t h = 0xcbf29ce484222325ULL ^ (kind * 0x9e3779b97f4a7c15ULL);
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  h ^= h >> 29;  // the last bytes alone barely reach the high half
  return h * 0xbf58476d1ce4e5b9ULL;
}

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (static_cast<unsigned char>(c) & 0x80);
}

// Lower case for ASCII and the accented letters of western Europe (U+00C0-U+00DE but the
// multiplication sign).
std::string fold_case(std::string_view text) {
  std::string out(text);
  for (size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    if (c >= 'A' && c <= 'Z') out[i] = static_cast<char>(c + 32);
    if (c == 0xc3 && i + 1 < out.size()) {
      const auto d = static_cast<unsigned char>(out[i + 1]);
      if (d >= 0x80 && d <= 0x9e && d != 0x97) out[i + 1] = static_cast<char>(d + 32);
    }
  }
  return out;
}

// Hashes of all n-grams of `text`, with repeats. Characters are those of single words, padded with
// a space at both ends, so that the start and the end of a word are features too. Collisions in 64
// bits are left alone.
std::vector<uint64_t> ngrams(std::string_view raw) {
  const std::string text = fold_case(raw.substr(0, kMaxText));
  std::vector<uint64_t> out;
  std::string previous;
  for (size_t i = 0; i < text.size();) {
    if (!is_word_byte(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && is_word_byte(text[end])) ++end;
    const std::string word = text.substr(i, end - i);
    i = end;
    out.push_back(hash_bytes(word, 1));
    if (!previous.empty()) out.push_back(hash_bytes(fmt::format("{} {}", previous, word), 2));
    const std::string padded = ' ' + word + ' ';
    std::vector<size_t> starts;  // of characters: bytes that do not continue one
    for (size_t k = 0; k < padded.size(); ++k) {
      if ((static_cast<unsigned char>(padded[k]) & 0xc0) != 0x80) starts.push_back(k);
    }
    starts.push_back(padded.size());
    for (size_t n = kMinChars; n <= kMaxChars; ++n) {
      for (size_t k = 0; k + n < starts.size(); ++k) {
        out.push_back(
            hash_bytes(std::string_view(padded).substr(starts[k], starts[k + n] - starts[k]), 3));
      }
    }
    previous = word;
  }
  return out;
}

void require_examples(size_t prompts, size_t answers) {
  if (prompts != answers || prompts == 0) {
    fail(ErrorCode::kInvalidArgument,
         "[baseline] training texts and answers must pair up; got {} and {}, want equal and not 0",
         prompts, answers);
  }
}

std::vector<std::string> distinct(std::span<const std::string> labels) {
  std::vector<std::string> classes(labels.begin(), labels.end());
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  if (classes.size() > kMaxClasses) {
    fail(ErrorCode::kUnsupported, "[baseline] a linear classifier over labels; got {}, want <= {}",
         classes.size(), kMaxClasses);
  }
  return classes;
}

size_t rounded_up(size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

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

TfIdf::TfIdf(std::span<const std::string> texts, size_t max_features) {
  require_examples(texts.size(), texts.size());
  std::unordered_map<uint64_t, uint32_t> frequency;
  for (const std::string& text : texts) {
    std::vector<uint64_t> grams = ngrams(text);
    std::sort(grams.begin(), grams.end());
    grams.erase(std::unique(grams.begin(), grams.end()), grams.end());
    for (const uint64_t gram : grams) ++frequency[gram];
  }
  std::vector<std::pair<uint64_t, uint32_t>> kept(frequency.begin(), frequency.end());
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (kept.size() > max_features) kept.resize(max_features);
  index_.reserve(kept.size());
  idf_.reserve(kept.size());
  for (const auto& [gram, count] : kept) {
    index_.emplace(gram, static_cast<uint32_t>(idf_.size()));
    idf_.push_back(static_cast<float>(
        1 + std::log((1.0 + static_cast<double>(texts.size())) / (1.0 + count))));
  }
}

SparseVector TfIdf::transform(std::string_view text) const {
  std::vector<uint32_t> hits;
  for (const uint64_t gram : ngrams(text)) {
    const auto found = index_.find(gram);
    if (found != index_.end()) hits.push_back(found->second);
  }
  std::sort(hits.begin(), hits.end());
  SparseVector vector;
  double squares = 0;
  for (size_t i = 0; i < hits.size();) {
    size_t end = i;
    while (end < hits.size() && hits[end] == hits[i]) ++end;
    const double weight = (1 + std::log(static_cast<double>(end - i))) * idf_[hits[i]];
    vector.push_back({hits[i], static_cast<float>(weight)});
    squares += weight * weight;
    i = end;
  }
  const auto scale = static_cast<float>(squares > 0 ? 1 / std::sqrt(squares) : 0);
  for (Feature& feature : vector) feature.weight *= scale;
  return vector;
}

LinearClassifier::LinearClassifier(std::span<const std::string> texts,
                                   std::span<const std::string> labels)
    : LinearClassifier(texts, labels, Options{}) {}

// Dual coordinate descent for the squared hinge (Hsieh et al., "A dual coordinate descent method
// for large-scale linear SVM", 2008), all one-against-rest problems at once: they visit the same
// examples in the same order, so one pass over a text's features serves every class.
LinearClassifier::LinearClassifier(std::span<const std::string> texts,
                                   std::span<const std::string> labels, const Options& options)
    : tfidf_((require_examples(texts.size(), labels.size()), texts),
             std::min(size_t{1} << 18,
                      kMaxWeights / rounded_up(std::max<size_t>(1, distinct(labels).size())))),
      classes_(distinct(labels)),
      stride_(rounded_up(classes_.size())),
      weights_((tfidf_.features() + 1) * stride_, 0.0F) {
  const size_t n = texts.size();
  if (n > kMaxAlphas / stride_) {
    fail(ErrorCode::kResourceExhausted,
         "[baseline] examples times classes; got {} times {}, want a product up to {}", n,
         classes_.size(), kMaxAlphas);
  }
  std::vector<SparseVector> rows(n);
  std::vector<size_t> target(n);
  for (size_t i = 0; i < n; ++i) {
    rows[i] = tfidf_.transform(texts[i]);
    rows[i].push_back({static_cast<uint32_t>(tfidf_.features()), 1.0F});  // the intercept's input
    target[i] = static_cast<size_t>(std::lower_bound(classes_.begin(), classes_.end(), labels[i]) -
                                    classes_.begin());
  }
  const auto diagonal = static_cast<float>(0.5 / options.c);
  // alpha is kept for the classes of one example side by side, like the weights of one feature.
  std::vector<float> alpha(n * stride_, 0.0F), margin(stride_), step(stride_);
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  Rng rng(options.seed);
  float first_violation = 0;
  for (int epoch = 0; epoch < options.max_epochs; ++epoch) {
    rng.shuffle(order);
    float violation = 0;
    for (const size_t i : order) {
      std::fill(margin.begin(), margin.end(), 0.0F);
      float square = 0;
      for (const Feature& feature : rows[i]) {
        const float* w = weights_.data() + feature.index * stride_;
        for (size_t k = 0; k < stride_; ++k) margin[k] += feature.weight * w[k];
        square += feature.weight * feature.weight;
      }
      float* a = alpha.data() + i * stride_;
      const float rate = 1 / (square + diagonal);
      for (size_t k = 0; k < classes_.size(); ++k) {
        const float y = k == target[i] ? 1.0F : -1.0F;
        const float next = std::max(0.0F, a[k] - (y * margin[k] - 1 + diagonal * a[k]) * rate);
        step[k] = y * (next - a[k]);
        violation = std::max(violation, std::abs(step[k]));
        a[k] = next;
      }
      for (const Feature& feature : rows[i]) {
        float* w = weights_.data() + feature.index * stride_;
        for (size_t k = 0; k < stride_; ++k) w[k] += feature.weight * step[k];
      }
    }
    if (epoch == 0) first_violation = violation;
    if (violation <= 0.01F * first_violation) break;
  }
}

const std::string& LinearClassifier::predict(std::string_view text) const {
  const float* intercept = weights_.data() + tfidf_.features() * stride_;
  std::vector<float> margin(intercept, intercept + stride_);
  for (const Feature& feature : tfidf_.transform(text)) {
    const float* w = weights_.data() + feature.index * stride_;
    for (size_t k = 0; k < stride_; ++k) margin[k] += feature.weight * w[k];
  }
  const auto end = margin.begin() + static_cast<ptrdiff_t>(classes_.size());
  return classes_[static_cast<size_t>(std::max_element(margin.begin(), end) - margin.begin())];
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
