// Text to token ids and back, as a Hugging Face tokenizer.json describes it, or a SentencePiece
// model, a GGUF vocabulary, GPT-2's vocab.json with merges.txt, or BERT's vocab.txt: each becomes
// what a tokenizer.json would say.
//
// Ownership: a Tokenizer is an immutable handle on shared state, cheap to copy. Thread safety:
// usable from several threads at once (StreamDecoder: one object, one thread). Text is any byte
// string: bytes that are not UTF-8 pass through byte-level and byte-fallback vocabularies unharmed.
// Errors: kNotFound and kIo for files, kCorruptData for files that contradict themselves,
// kUnsupported naming a construct outside what alambic does.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/base/token.h"

namespace alambic {

class GgufFile;
struct TokenizerParts;

struct EncodeOptions {
  bool special_prefix =
      true;  // add what the post-processor adds, such as a beginning-of-sequence token
  bool special_suffix = true;  // with it: also what is added behind the text
  bool parse_special = true;   // the content of a special token in the text is that token
  double dropout = 0;          // BPE-dropout: probability of skipping a merge; wants `rng`
  Rng* rng = nullptr;
  // Bytes of the text, ascending, that no special token may touch: a special token is found only
  // where it holds none of them.
  std::span<const size_t> plain = {};
};

// Where a byte of a text falls among the tokens of that text.
struct TokenSeam {
  size_t token = 0;     // the first one that holds text from the byte on; their number if none does
  bool inside = false;  // it holds text from before the byte, too

  bool operator==(const TokenSeam&) const = default;
};

class Tokenizer {
 public:
  // `path` is a tokenizer.json, a SentencePiece .model, a .gguf, or a directory that holds one of
  // the first two, vocab.json with merges.txt, or vocab.txt; in a directory, tokenizer_config.json
  // and special_tokens_map.json also say which tokens play which role.
  static Tokenizer load(const std::string& path);
  // `where` opens error lines.
  static Tokenizer from_json(std::string_view json, std::string_view where);
  static Tokenizer from_sentencepiece(std::span<const std::byte> file, std::string_view where);
  static Tokenizer from_gguf(const GgufFile& file, std::string_view where);
  // The text of a tokenizer.json that Python's `tokenizers` opens and encodes identically with.
  std::string to_json() const;
  // Writes to_json() to `path`, atomically. If `path` is an existing directory: tokenizer.json in
  // it, and a tokenizer_config.json that keeps the roles and the chat template.
  void save(const std::string& path) const;

  // Highest id + 1, added tokens included: the rows a model needs.
  int vocab_size() const;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same ids; `seams` becomes where each of `cuts` falls, which ascend and are bytes of the
  // text. What only stands between two bytes (a dummy prefix, a space that the vocabulary spells as
  // its own) counts as text of the second; a normalizer that changes lengths is followed.
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options,
                              std::span<const size_t> cuts, std::vector<TokenSeam>& seams) const;
  // As the reference implementation's decode, except that bytes which are not UTF-8 stay as they
  // are. Unknown ids contribute nothing.
  std::string decode(std::span<const TokenId> ids, bool skip_special = true) const;
  // The bytes a token contributes in the middle of a text, "" for special and unknown ids.
  std::string token_bytes(TokenId id) const;
  // The token as the vocabulary spells it, "" for an unknown id.
  std::string token_content(TokenId id) const;
  std::optional<TokenId> find(std::string_view content) const;
  bool is_special(TokenId id) const;
  // The contents of all special tokens, by id.
  std::vector<std::string> special_contents() const;

  // The token in a role: named by the files, else recognised by a customary name.
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> pad() const;
  std::optional<TokenId> unk() const;
  std::optional<TokenId> mask() const;
  // The Jinja text that came with the vocabulary, "" if none did.
  const std::string& chat_template() const;
  // The one for conversations with tools, "" where it is the same.
  const std::string& tool_use_template() const;
  // The special tokens that the files name ("bos_token", "image_token" ...), and those above that
  // are known by custom alone.
  std::map<std::string, std::string> named_tokens() const;

  // The same tokenizer with `content` as a special token, under its present id or else the next
  // free one. Returns *this if it is one already.
  Tokenizer with_special(std::string_view content) const;
  // 32 hexadecimal digits that change with anything that changes ids or text: vocabulary, merges,
  // added tokens, settings. Equal after save and load.
  std::string hash() const;

 private:
  struct State;
  static Tokenizer from_parts(TokenizerParts&& parts, std::string_view where);
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::optional<TokenId> role(const char* key, std::initializer_list<const char*> customary) const;

  std::shared_ptr<const State> state_;
};

// Turns ids that arrive one at a time into text. What it returns is always whole characters: an
// unfinished one waits for the next token, and bytes that can never become one are U+FFFD. The
// pieces joined, with finish(), are decode() of all ids (save for a decoder that strips the end of
// a text).
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  std::string push(TokenId id);
  std::string push(std::span<const TokenId> ids);
  // What still waits, as it is: call once at the end.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::vector<TokenId>
      context_;               // the last tokens with text, which decide about spaces at the seam
  std::string context_text_;  // what they decode to
  std::string pending_;       // the beginning of a character
};

}  // namespace alambic
