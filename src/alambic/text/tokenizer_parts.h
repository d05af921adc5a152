// What every kind of vocabulary file is read into before it becomes a Tokenizer: the settings as a
// tokenizer.json would have them, and the tables that are too large for JSON.
// Ownership: plain values. Thread safety: none needed.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/added_tokens.h"
#include "alambic/text/bpe.h"
#include "alambic/text/token_model.h"

namespace alambic {

class GgufFile;

struct TokenizerParts {
  // The document without vocabulary, merges and added tokens. ["model"] names the kind. Three keys
  // of a model are ours, and other readers pass over them. Of Unigram: "hidden" lists the ids that
  // no text may become; "precision" is "single" where paths are to be compared as SentencePiece
  // does. Of both: "user_defined" lists pieces that SentencePiece keeps whole: no character map
  // changes them, BPE finds them before it merges (the leftmost, then the longest), Unigram rates
  // them above whatever else spells the same, and none of them is a place where a text begins anew.
  Json settings;
  std::vector<NamedToken> tokens;
  std::vector<NamedMerge> merges;  // of BPE, best first
  std::vector<double> scores;      // of Unigram, by place in `tokens`
  std::vector<AddedToken> added;
  std::map<std::string, std::string> roles;  // "eos_token" -> content
  std::string tool_use_template;  // "" where chat_template serves conversations with tools, too
  std::string chat_template;
};

// A tokenizer.json. Duplicate keys are refused.
TokenizerParts read_tokenizer_json(std::string_view json, std::string_view where);
// A SentencePiece .model.
TokenizerParts read_sentencepiece(std::span<const std::byte> file, std::string_view where);
// The tokenizer.ggml.* keys of a GGUF file. kUnsupported naming a kind or pre-tokenizer that is
// not known.
TokenizerParts read_gguf_vocabulary(const GgufFile& file, std::string_view where);
// vocab.json and merges.txt, as GPT-2 has them.
TokenizerParts read_merges_directory(const std::string& directory);
// vocab.txt, as BERT has it.
TokenizerParts read_wordpiece_directory(const std::string& directory);
// A SentencePiece model with the Hugging Face files beside it. kUnsupported for the families whose
// ids are not those of the model.
TokenizerParts read_sentencepiece_directory(const std::string& directory, const std::string& model);

// Lists of merges as text begin with "#version: 0.2", and joined lists hold it further down; other
// lines with a "#" are merges. As Python's `tokenizers` reads them.
inline bool is_version_line(std::string_view line) { return line.starts_with("#version"); }
// "left right" as a merge.
NamedMerge split_merge(std::string_view text, std::string_view where);

// {"type": "Replace", ...} for a literal or a regular expression.
Json replace_step(const char* kind, std::string_view pattern, std::string_view content);
// The settings of a byte-level BPE; `pre_tokenizer` ends with what makes bytes of text.
Json byte_level_settings(Json normalizer, Json pre_tokenizer, bool ignore_merges);
// A Sequence of Splits at each of the expressions, in turn, then the byte-level alphabet.
Json split_then_byte_level(const std::vector<std::string_view>& expressions);
// ByteLevel with GPT-2's own expression.
Json gpt2_pre_tokenizer();
// The settings of BERT's WordPiece; null `strip_accents` follows `lowercase`.
Json bert_settings(bool lowercase, Json strip_accents, bool chinese, const std::string& unk);
// What turns "▁" and byte tokens into text again, less so many spaces at the start.
Json metaspace_decoder(bool byte_fallback, int leading_spaces);
// Sets the post-processor that puts these ids (each a token of the vocabulary) around a text.
void set_affixes(TokenizerParts& parts, const std::vector<TokenId>& prefix,
                 const std::vector<TokenId>& suffix);

}  // namespace alambic
