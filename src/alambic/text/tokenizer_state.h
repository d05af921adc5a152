// What a Tokenizer handle points to; for the files that implement Tokenizer only.
// Ownership: shared by handles, immutable but for the caches. Thread safety: the cache pool locks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/added_tokens.h"
#include "alambic/text/decoder.h"
#include "alambic/text/normalizer.h"
#include "alambic/text/pre_tokenizer.h"
#include "alambic/text/token_model.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

// Lends each running call a cache of its own, warm from earlier calls. A copy starts empty.
class WordCachePool {
 public:
  WordCachePool() = default;
  WordCachePool(const WordCachePool&) {}
  WordCachePool& operator=(const WordCachePool&) = delete;

  std::unique_ptr<WordCache> take();
  void give(std::unique_ptr<WordCache> cache);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

struct Tokenizer::State {
  Json settings;  // the document without vocabulary, merges and added tokens
  std::shared_ptr<const TokenModel> model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  std::vector<TokenId> prefix, suffix;       // what the post-processor puts around a text
  std::vector<AddedToken> added;             // by id
  std::vector<TokenId> user_defined;         // pieces of the model; see TokenizerParts::settings
  std::map<std::string, std::string> roles;  // "eos_token" -> content, as the side files have it
  std::string chat_template, tool_use_template;

  // Made from the above by index().
  std::unordered_map<std::string_view, TokenId> added_ids;
  struct Added {
    const AddedToken* token;
    std::string text;  // what it decodes from: the form in which it was looked for
  };
  std::unordered_map<TokenId, Added> added_by_id;
  AddedTokenFinder raw_finder, normalized_finder;
  int vocab_size = 0;
  mutable WordCachePool caches;

  // Receives what a stretch of text is cut into: a piece for the model, or an added token's text.
  using PartSink = std::function<void(const Piece&, const AddedToken*)>;
  // Cuts a stretch in which no token of raw_finder stands, the first of its text if it `opens`.
  // `plain` as in EncodeOptions, of the stretch.
  void cut(std::string_view stretch, bool opens, bool parse_special, std::span<const size_t> plain,
           const PartSink& sink) const;

  void index();
  const Added* find_added(TokenId id) const;
  std::optional<TokenId> find(std::string_view content) const;
};

}  // namespace alambic
