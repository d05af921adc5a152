#include "alambic/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/text/tokenizer_state.h"

namespace alambic {
std::unique_ptr<WordCache> WordCachePool::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<WordCache>();
  auto cache = std::move(idle_.back());
  idle_.pop_back();
  return cache;
}

void WordCachePool::give(std::unique_ptr<WordCache> cache) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(cache));
}

void Tokenizer::State::index() {
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  added_ids.clear();
  added_by_id.clear();
  raw_finder = normalized_finder = {};
  vocab_size = model->vocabulary().size();
  std::set<TokenId> pieces(user_defined.begin(), user_defined.end());
  for (const AddedToken& token : added) {
    added_ids.emplace(token.content, token.id);
    vocab_size = std::max(vocab_size, token.id + 1);
    if (token.special) pieces.erase(token.id);
    if (pieces.contains(token.id)) continue;  // text in the model's own form
    const std::string text = token.normalized ? normalizer.normalize(token.content) : token.content;
    (token.normalized ? normalized_finder : raw_finder).add(token, text);
    added_by_id.emplace(token.id, Added{&token, text});
  }
  if (model->weighs_pieces()) return;
  for (const TokenId id : pieces) {
    AddedToken piece;
    piece.id = id;
    piece.content = model->vocabulary().token(id);
    const std::string pattern = piece.content;
    normalized_finder.add(std::move(piece), pattern);
  }
}

const Tokenizer::State::Added* Tokenizer::State::find_added(TokenId id) const {
  const auto it = added_by_id.find(id);
  return it == added_by_id.end() ? nullptr : &it->second;
}

std::optional<TokenId> Tokenizer::State::find(std::string_view content) const {
  const auto it = added_ids.find(content);
  return it != added_ids.end() ? std::optional(it->second) : model->vocabulary().find(content);
}

int Tokenizer::vocab_size() const { return state_->vocab_size; }

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::vector<DecodedToken> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    if (const State::Added* added = state_->find_added(id)) {
      if (!(added->token->special && skip_special)) tokens.push_back({added->text, true});
    } else if (state_->model->vocabulary().contains(id)) {
      tokens.push_back({state_->model->vocabulary().token(id), false});
    }
  }
  return state_->decoder.decode(std::move(tokens));
}

std::string Tokenizer::token_bytes(TokenId id) const {
  if (is_special(id)) return "";
  if (const State::Added* added = state_->find_added(id)) {
    return state_->decoder.decode_one({added->text, true});
  }
  if (!state_->model->vocabulary().contains(id)) return "";
  return state_->decoder.decode_one({state_->model->vocabulary().token(id), false});
}

std::string Tokenizer::token_content(TokenId id) const {
  if (const State::Added* added = state_->find_added(id)) return added->token->content;
  return state_->model->vocabulary().contains(id) ? state_->model->vocabulary().token(id) : "";
}

std::optional<TokenId> Tokenizer::find(std::string_view content) const {
  return state_->find(content);
}

bool Tokenizer::is_special(TokenId id) const {
  const State::Added* added = state_->find_added(id);
  return added != nullptr && added->token->special;
}

std::vector<std::string> Tokenizer::special_contents() const {
  std::vector<std::string> contents;
  for (const AddedToken& token : state_->added) {
    if (token.special) contents.push_back(token.content);
  }
  return contents;
}

std::optional<TokenId> Tokenizer::role(const char* key,
                                       std::initializer_list<const char*> customary) const {
  if (const auto it = state_->roles.find(key); it != state_->roles.end()) {
    if (const auto id = find(it->second)) return id;
  }
  for (const char* name : customary) {
    if (const auto id = find(name)) return id;
  }
  return std::nullopt;
}

std::optional<TokenId> Tokenizer::bos() const {
  if (!state_->roles.contains("bos_token") && state_->prefix.size() == 1) return state_->prefix[0];
  return role("bos_token", {"<s>", "<|bos|>", "<bos>", "[BOS]", "<|begin_of_text|>",
                            "<|startoftext|>", "<|start_story|>"});
}

std::optional<TokenId> Tokenizer::eos() const {
  return role("eos_token",
              {"</s>", "<|endoftext|>", "<|end_story|>", "<|eos|>", "<eos>", "[EOS]", "<|im_end|>",
               "<|end_of_text|>", "<|eot_id|>", "<|end|>", "<end_of_turn>"});
}

std::optional<TokenId> Tokenizer::pad() const {
  return role("pad_token", {"<pad>", "<|pad|>", "[PAD]", "<|padding|>"});
}

std::optional<TokenId> Tokenizer::unk() const {
  if (const auto id = state_->model->unk()) return id;
  return role("unk_token", {"<unk>", "<|unk|>", "[UNK]"});
}

std::optional<TokenId> Tokenizer::mask() const {
  return role("mask_token", {"<mask>", "<|mask|>", "[MASK]", "<|mdm_mask|>", "<|MASK|>"});
}

const std::string& Tokenizer::chat_template() const { return state_->chat_template; }

const std::string& Tokenizer::tool_use_template() const { return state_->tool_use_template; }

std::map<std::string, std::string> Tokenizer::named_tokens() const {
  std::map<std::string, std::string> named = state_->roles;
  for (const auto& [name, id] : {std::pair{"bos_token", bos()},
                                 {"eos_token", eos()},
                                 {"pad_token", pad()},
                                 {"unk_token", unk()},
                                 {"mask_token", mask()}}) {
    if (id) named.emplace(name, token_content(*id));
  }
  return named;
}

Tokenizer Tokenizer::with_special(std::string_view content) const {
  if (content.empty()) {
    fail(ErrorCode::kInvalidArgument, "[tokenizer] the content of a special token is empty");
  }
  const auto present = find(content);
  if (present && is_special(*present)) return *this;
  auto state = std::make_shared<State>(*state_);
  std::erase_if(state->added, [&](const AddedToken& token) { return token.content == content; });
  AddedToken token;
  token.id = present.value_or(state->vocab_size);
  token.content = content;
  token.normalized = false;
  token.special = true;
  state->added.push_back(std::move(token));
  state->index();
  return Tokenizer(std::move(state));
}

std::string Tokenizer::hash() const {
  // FNV-1a with 128 bits: stable everywhere, and no one gains by forging a vocabulary.
  __uint128_t hash =
      (static_cast<__uint128_t>(0x6c62272e07bb0142ULL) << 64) | 0x62b821756295c58dULL;
  const __uint128_t prime = (static_cast<__uint128_t>(1) << 88) + 0x13b;
  for (const char c : to_json()) hash = (hash ^ static_cast<uint8_t>(c)) * prime;
  return fmt::format("{:016x}{:016x}", static_cast<uint64_t>(hash >> 64),
                     static_cast<uint64_t>(hash));
}

}  // namespace alambic
