#include "alambic/text/wordpiece.h"

#include <algorithm>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

// The tokens that begin with `prefix`, without it.
ByteTrie trie_of(const Vocabulary& vocabulary, std::string_view prefix) {
  std::vector<std::pair<std::string_view, TokenId>> entries;
  entries.reserve(static_cast<size_t>(vocabulary.size()));
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.contains(id)) continue;
    const std::string_view token = vocabulary.token(id);
    if (token.starts_with(prefix)) entries.emplace_back(token.substr(prefix.size()), id);
  }
  return ByteTrie(std::move(entries));
}

}  // namespace

WordPiece::WordPiece(WordPieceSettings settings, std::vector<NamedToken>&& tokens,
                     std::string_view where)
    : TokenModel(std::move(tokens), Vocabulary::Repeats::kRefused, where),
      settings_(std::move(settings)),
      starts_(trie_of(vocabulary(), "")),
      continuations_(trie_of(vocabulary(), settings_.continuing_prefix)) {
  const auto unk = vocabulary().find(settings_.unk_token);
  if (!unk) {
    fail(ErrorCode::kCorruptData, "[{}] unk_token \"{}\" is not in the vocabulary", where,
         settings_.unk_token);
  }
  unk_ = *unk;
}

std::string_view WordPiece::bare(TokenId id) const {
  std::string_view text = vocabulary().token(id);
  if (text.starts_with(settings_.continuing_prefix))
    text.remove_prefix(settings_.continuing_prefix.size());
  return text;
}

void WordPiece::encode_afresh(std::string_view piece, bool byte_level,
                              std::vector<TokenId>& out) const {
  const std::string chars = byte_level ? bytes_to_chars(piece) : std::string();
  const std::string_view text = byte_level ? chars : piece;
  uint64_t characters = 0;
  for (size_t at = 0; at < text.size(); at += decode_utf8(text, at).length) ++characters;
  const size_t before = out.size();
  for (size_t at = 0; at < text.size() && characters <= settings_.longest_word;) {
    size_t longest = 0;
    (at == 0 ? starts_ : continuations_)
        .for_each_prefix(text.substr(at), [&](size_t length, TokenId id) {
          longest == 0 ? out.push_back(id) : static_cast<void>(out.back() = id);
          longest = length;
        });
    if (longest == 0) break;
    at += longest;
    if (at == text.size()) return;
  }
  out.resize(before);
  if (!text.empty()) out.push_back(unk_);
}

}  // namespace alambic
