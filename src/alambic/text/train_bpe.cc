#include "alambic/text/train_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/text/added_tokens.h"
#include "alambic/text/pre_tokenizer.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr int kMaxVocabulary = 1 << 22;

using WordCounts = std::unordered_map<std::string, int64_t>;

// Grows a vocabulary by the most frequent pair until it is full. Counts are kept up to date word by
// word, so a merge costs what it changes.
class PairMerger {
 public:
  // The alphabet, which takes the next id.
  void add_token(const std::string& token) {
    ids_.emplace(token, static_cast<TokenId>(tokens_.size()));
    tokens_.push_back(token);
  }
  void add_word(std::vector<TokenId> symbols, int64_t count) {
    const uint32_t index = static_cast<uint32_t>(words_.size());
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      change(key(symbols[i], symbols[i + 1]), count, index);
    }
    words_.push_back({std::move(symbols), count});
  }
  TokenId id(const std::string& token) const { return ids_.at(token); }
  bool contains(const std::string& token) const { return ids_.contains(token); }

  void run(size_t vocab_size, int64_t min_frequency) {
    while (tokens_.size() < vocab_size) {
      for (const uint64_t pair : touched_) queue_.push({pairs_[pair].count, pair});
      touched_.clear();
      if (queue_.empty()) return;
      const Candidate best = queue_.top();
      queue_.pop();
      // Counts fall without notice and are looked up when it matters; they rise only by being
      // queued anew.
      const int64_t count = pairs_[best.pair].count;
      if (count != best.count) {
        if (count > 0) queue_.push({count, best.pair});
        continue;
      }
      if (count < std::max<int64_t>(min_frequency, 1)) return;
      merge(best.pair);
    }
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<std::pair<TokenId, TokenId>>& merges() const { return merges_; }

 private:
  struct Word {
    std::vector<TokenId> symbols;
    int64_t count;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it was seen; it may have gone since
    bool merged = false;
  };
  struct Candidate {
    int64_t count;
    uint64_t pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  // Orders as (left, right) does.
  static uint64_t key(TokenId left, TokenId right) {
    return (static_cast<uint64_t>(left) << 32) | static_cast<uint64_t>(right);
  }

  void change(uint64_t pair, int64_t by, uint32_t word) {
    Pair& entry = pairs_[pair];
    entry.count += by;
    if (by > 0) {
      if (entry.words.empty() || entry.words.back() != word) entry.words.push_back(word);
      touched_.insert(pair);
    }
  }

  void merge(uint64_t pair) {
    const TokenId left = static_cast<TokenId>(pair >> 32), right = static_cast<TokenId>(pair);
    const std::string token =
        tokens_[static_cast<size_t>(left)] + tokens_[static_cast<size_t>(right)];
    // Two ways of cutting a string make one token.
    const auto known = ids_.find(token);
    if (known == ids_.end()) add_token(token);
    const TokenId result = ids_.at(token);
    Pair& entry = pairs_[pair];
    if (!std::exchange(entry.merged, true)) merges_.emplace_back(left, right);
    std::vector<uint32_t> where = std::move(entry.words);
    entry.words.clear();
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const uint32_t index : where) merge_in_word(index, left, right, result);
    // Overlapping pairs, as in "aaa", leave a remainder that stands for nothing.
    pairs_[pair].count = 0;
    touched_.erase(pair);
  }

  void merge_in_word(uint32_t index, TokenId left, TokenId right, TokenId result) {
    auto& [symbols, count] = words_[index];
    size_t kept = 0;
    for (size_t i = 0; i < symbols.size(); ++kept) {
      if (i + 1 == symbols.size() || symbols[i] != left || symbols[i + 1] != right) {
        symbols[kept] = symbols[i++];
        continue;
      }
      if (kept > 0) {
        change(key(symbols[kept - 1], left), -count, index);
        change(key(symbols[kept - 1], result), count, index);
      }
      if (i + 2 < symbols.size()) {
        change(key(right, symbols[i + 2]), -count, index);
        change(key(result, symbols[i + 2]), count, index);
      }
      symbols[kept] = result;
      i += 2;
    }
    symbols.resize(kept);
  }

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, TokenId> ids_;
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::unordered_set<uint64_t> touched_;
  std::priority_queue<Candidate> queue_;
  std::vector<std::pair<TokenId, TokenId>> merges_;
};

// Everything of the tokenizer file but the vocabulary.
Json make_settings(const BpeTrainOptions& options) {
  Json cut = options.byte_fallback ? Json{{"type", "Metaspace"},
                                          {"replacement", "▁"},
                                          {"prepend_scheme", "never"},
                                          {"split", true}}
                                   : Json{{"type", "ByteLevel"},
                                          {"add_prefix_space", false},
                                          {"trim_offsets", true},
                                          {"use_regex", true}};
  if (options.split_digits) {
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    cut = {{"type", "Sequence"}, {"pretokenizers", Json::array({digits, cut})}};
  }
  const Json mark = {{"String", "▁"}};
  const Json decoder = options.byte_fallback
                           ? Json{{"type", "Sequence"},
                                  {"decoders",
                                   {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
                                    {{"type", "ByteFallback"}},
                                    {{"type", "Fuse"}}}}}
                           : Json{{"type", "ByteLevel"},
                                  {"add_prefix_space", false},
                                  {"trim_offsets", true},
                                  {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"normalizer", nullptr},
          {"pre_tokenizer", cut},
          {"post_processor", nullptr},
          {"decoder", decoder},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", options.byte_fallback ? Json("<unk>") : Json()},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", options.byte_fallback},
            {"byte_fallback", options.byte_fallback},
            {"ignore_merges", false}}}};
}

WordCounts count_words(std::span<const std::string> texts, const PreTokenizer& pre_tokenizer,
                       const AddedTokenFinder& special) {
  WordCounts counts;
  std::string word;
  for (const std::string& text : texts) {
    special.split(text, true, {}, [&](std::string_view part, const AddedToken* token) {
      if (token != nullptr) return;
      pre_tokenizer.split({part, part.data() == text.data()}, [&](const Piece& piece) {
        word.assign(piece.text);
        ++counts[word];
      });
    });
  }
  return counts;
}

std::vector<std::string> characters(std::string_view word) {
  std::vector<std::string> out;
  for (size_t at = 0; at < word.size();) {
    const size_t length = decode_utf8(word, at).length;
    out.emplace_back(word.substr(at, length));
    at += length;
  }
  return out;
}

// The alphabet of a byte-fallback vocabulary: the 256 bytes, then the most frequent characters, in
// code order.
std::vector<std::string> fallback_alphabet(const WordCounts& counts, size_t room,
                                           int min_frequency) {
  std::map<std::string, int64_t> frequency;
  for (const auto& [word, count] : counts) {
    if (valid_utf8_prefix(word) < word.size()) continue;
    for (const std::string& character : characters(word)) frequency[character] += count;
  }
  std::vector<std::pair<int64_t, std::string>> ranked;
  for (const auto& [character, count] : frequency) {
    if (count >= min_frequency) ranked.emplace_back(-count, character);
  }
  std::sort(ranked.begin(), ranked.end());
  // Rare characters are spelled in bytes: half of what is left is kept for merges.
  ranked.resize(std::min(ranked.size(), room / 2));
  std::vector<std::string> chosen;
  chosen.reserve(ranked.size());
  for (const auto& [count, character] : ranked) chosen.push_back(character);
  std::sort(chosen.begin(), chosen.end());
  std::vector<std::string> alphabet;
  alphabet.reserve(256 + chosen.size());
  for (int byte = 0; byte < 256; ++byte) alphabet.push_back(fmt::format("<0x{:02X}>", byte));
  alphabet.insert(alphabet.end(), chosen.begin(), chosen.end());
  return alphabet;
}

std::vector<std::string> byte_alphabet_in_code_order() {
  std::vector<char32_t> codes;
  codes.reserve(256);
  for (int byte = 0; byte < 256; ++byte) codes.push_back(byte_to_char(static_cast<uint8_t>(byte)));
  std::sort(codes.begin(), codes.end());
  std::vector<std::string> alphabet;
  for (const char32_t code : codes) append_utf8(alphabet.emplace_back(), code);
  return alphabet;
}

}  // namespace

Tokenizer train_bpe(std::span<const std::string> texts, const BpeTrainOptions& options) {
  std::vector<std::string> special = options.special_tokens;
  if (options.byte_fallback &&
      std::find(special.begin(), special.end(), "<unk>") == special.end()) {
    special.insert(special.begin(), "<unk>");
  }
  const size_t fixed = special.size() + 256;
  if (options.vocab_size > kMaxVocabulary || options.vocab_size < 0 ||
      static_cast<size_t>(options.vocab_size) < fixed) {
    fail(ErrorCode::kInvalidArgument, "[train_bpe] vocab_size; got {}, want {} to {}",
         options.vocab_size, fixed, kMaxVocabulary);
  }
  const size_t vocab_size = static_cast<size_t>(options.vocab_size);

  PairMerger merger;
  AddedTokenFinder finder;
  Json added = Json::array();
  for (const std::string& content : special) {
    if (content.empty() || merger.contains(content)) {
      fail(ErrorCode::kInvalidArgument, "[train_bpe] special token \"{}\" is {}", content,
           content.empty() ? "empty" : "given twice");
    }
    AddedToken token;
    token.id = static_cast<TokenId>(merger.tokens().size());
    token.content = content;
    added.push_back({{"id", token.id},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    finder.add(token, content);
    merger.add_token(content);
  }
  Json document = make_settings(options);
  const auto pre_tokenizer = PreTokenizer::from_json(document["pre_tokenizer"], "train_bpe");
  const WordCounts counts = count_words(texts, pre_tokenizer, finder);

  const auto alphabet = options.byte_fallback
                            ? fallback_alphabet(counts, vocab_size - fixed, options.min_frequency)
                            : byte_alphabet_in_code_order();
  for (const std::string& symbol : alphabet) {
    // A special token that is one character of the alphabet already has its id.
    if (!merger.contains(symbol)) merger.add_token(symbol);
  }
  for (const auto& [word, count] : counts) {
    std::vector<TokenId> symbols;
    const auto flush = [&, times = count] {
      if (symbols.size() > 1) merger.add_word(std::move(symbols), times);
      symbols.clear();
    };
    for (const std::string& symbol :
         characters(options.byte_fallback ? word : bytes_to_chars(word))) {
      // What is spelled in bytes takes part in no merge.
      merger.contains(symbol) ? symbols.push_back(merger.id(symbol)) : flush();
    }
    flush();
  }
  merger.run(vocab_size, options.min_frequency);

  Json vocabulary = Json::object(), merges = Json::array();
  for (size_t i = 0; i < merger.tokens().size(); ++i) vocabulary[merger.tokens()[i]] = i;
  for (const auto& [left, right] : merger.merges()) {
    merges.push_back(
        {merger.tokens()[static_cast<size_t>(left)], merger.tokens()[static_cast<size_t>(right)]});
  }
  document["added_tokens"] = std::move(added);
  document["model"]["vocab"] = std::move(vocabulary);
  document["model"]["merges"] = std::move(merges);
  return Tokenizer::from_json(dump_json(document), "train_bpe");
}

}  // namespace alambic
