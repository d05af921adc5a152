#include "alambic/eval/tf_idf.h"

#include <algorithm>
#include <cmath>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr size_t kMinChars = 3, kMaxChars = 5;
enum class TermKind : uint8_t { kWords = 1, kCharacters = 2 };

uint64_t hash_of(std::string_view bytes, TermKind kind) {
  uint64_t h = 0xcbf29ce484222325ULL ^ (static_cast<uint64_t>(kind) * 0x9e3779b97f4a7c15ULL);
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  h ^= h >> 29;  // the last bytes alone barely reach the high half
  return h * 0xbf58476d1ce4e5b9ULL;
}

// Of a script that puts no spaces between words, and whose characters mean something alone.
bool stands_alone(char32_t c) {
  return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

std::vector<std::string> words_of(std::string_view raw) {
  const std::string text = lowercase(raw.substr(0, std::min(raw.size(), TfIdf::kMaxBytes)));
  std::vector<std::string> words;
  bool open = false;  // the last word goes on
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const std::string_view character = std::string_view(text).substr(at, step.length);
    at += step.length;
    const bool alone = stands_alone(step.code);
    if (!step.valid || !(alone || is_word(step.code))) {
      open = false;
      continue;
    }
    if (alone || !open) words.emplace_back();
    words.back() += character;
    open = !alone;
  }
  return words;
}

// Calls visit(kind, n-gram) for every n-gram of `text`, with repeats.
template <class Visit>
void for_each_gram(std::string_view text, const Visit& visit) {
  const std::vector<std::string> words = words_of(text);
  std::string padded, pair;
  std::vector<size_t> starts;  // of characters: bytes that do not continue one
  for (size_t i = 0; i < words.size(); ++i) {
    visit(TermKind::kWords, std::string_view(words[i]));
    if (i > 0) {
      pair = words[i - 1];
      pair.append(" ").append(words[i]);
      visit(TermKind::kWords, std::string_view(pair));
    }
    padded.clear();
    padded += ' ';
    padded += words[i];
    padded += ' ';
    starts.clear();
    for (size_t k = 0; k < padded.size(); ++k) {
      if ((static_cast<unsigned char>(padded[k]) & 0xc0U) != 0x80) starts.push_back(k);
    }
    starts.push_back(padded.size());
    for (size_t n = kMinChars; n <= kMaxChars; ++n) {
      for (size_t k = 0; k + n < starts.size(); ++k) {
        visit(TermKind::kCharacters,
              std::string_view(padded).substr(starts[k], starts[k + n] - starts[k]));
      }
    }
  }
}

}  // namespace

// Counts by hash, so that only the n-grams that stay are ever held as text. Collisions in 64 bits
// are left alone: the first n-gram gives the term its name.
TfIdf::TfIdf(std::span<const std::string> texts, size_t max_features) {
  if (texts.empty()) fail(ErrorCode::kInvalidArgument, "[baseline] there is no text to learn from");
  std::unordered_map<uint64_t, uint32_t> frequency;
  std::vector<uint64_t> grams;
  for (const std::string& text : texts) {
    grams.clear();
    for_each_gram(
        text, [&](TermKind kind, std::string_view gram) { grams.push_back(hash_of(gram, kind)); });
    std::sort(grams.begin(), grams.end());
    grams.erase(std::unique(grams.begin(), grams.end()), grams.end());
    for (const uint64_t gram : grams) ++frequency[gram];
  }
  std::vector<std::pair<uint64_t, uint32_t>> kept(frequency.begin(), frequency.end());
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (kept.size() > max_features) kept.resize(max_features);

  std::unordered_map<uint64_t, uint32_t> nameless(kept.begin(), kept.end());
  struct Term {
    TermKind kind;
    std::string text;
    uint32_t count;
  };
  std::vector<Term> terms;
  terms.reserve(kept.size());
  for (const std::string& text : texts) {
    for_each_gram(text, [&](TermKind kind, std::string_view gram) {
      const auto found = nameless.find(hash_of(gram, kind));
      if (found == nameless.end()) return;
      terms.push_back({kind, std::string(gram), found->second});
      nameless.erase(found);
    });
  }
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
    return a.kind != b.kind ? a.kind < b.kind : a.text < b.text;
  });
  index_.reserve(terms.size());
  idf_.reserve(terms.size());
  for (Term& term : terms) {
    index_.emplace(hash_of(term.text, term.kind), static_cast<uint32_t>(idf_.size()));
    idf_.push_back(static_cast<float>(
        1 + std::log((1.0 + static_cast<double>(texts.size())) / (1.0 + term.count))));
    (term.kind == TermKind::kWords ? words_ : characters_).push_back(std::move(term.text));
  }
}

TfIdf::TfIdf(std::vector<std::string> words, std::vector<std::string> characters,
             std::vector<float> inverse_frequencies, std::string_view where)
    : words_(std::move(words)),
      characters_(std::move(characters)),
      idf_(std::move(inverse_frequencies)) {
  if (idf_.size() != words_.size() + characters_.size()) {
    fail(ErrorCode::kCorruptData, "[{}] got {} terms and {} frequencies; want as many", where,
         words_.size() + characters_.size(), idf_.size());
  }
  for (const float idf : idf_) {
    // 1 + ln of a count of texts.
    if (!(idf >= 0 && idf <= 100)) {
      fail(ErrorCode::kCorruptData, "[{}] a frequency is {}; want 0 to 100", where, idf);
    }
  }
  index_.reserve(idf_.size());
  for (const auto& [kind, terms] :
       {std::pair{TermKind::kWords, &words_}, std::pair{TermKind::kCharacters, &characters_}}) {
    for (const std::string& term : *terms) {
      const auto next = static_cast<uint32_t>(index_.size());
      if (index_.emplace(hash_of(term, kind), next).second) continue;
      fail(ErrorCode::kCorruptData, "[{}] holds the term \"{}\" twice", where, term);
    }
  }
}

SparseVector TfIdf::transform(std::string_view text) const {
  std::vector<uint32_t> hits;
  for_each_gram(text, [&](TermKind kind, std::string_view gram) {
    const auto found = index_.find(hash_of(gram, kind));
    if (found != index_.end()) hits.push_back(found->second);
  });
  std::sort(hits.begin(), hits.end());
  SparseVector vector;
  vector.reserve(hits.size());
  double words = 0, characters = 0;  // squares
  for (size_t i = 0; i < hits.size();) {
    size_t end = i;
    while (end < hits.size() && hits[end] == hits[i]) ++end;
    const double weight = (1 + std::log(static_cast<double>(end - i))) * idf_[hits[i]];
    vector.push_back({hits[i], static_cast<float>(weight)});
    (is_word_feature(hits[i]) ? words : characters) += weight * weight;
    i = end;
  }
  const auto scale_of = [](double squares) {
    return static_cast<float>(squares > 0 ? 1 / std::sqrt(squares) : 0);
  };
  const float word_scale = scale_of(words), character_scale = scale_of(characters);
  for (Feature& feature : vector)
    feature.weight *= is_word_feature(feature.index) ? word_scale : character_scale;
  return vector;
}

}  // namespace alambic
