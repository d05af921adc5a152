// The pieces of a tokenizer.json that vocabularies of other formats imply.
#include <algorithm>

#include "alambic/text/post_processor.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {

Json replace_step(const char* kind, std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

Json gpt2_pre_tokenizer() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", true}};
}

Json split_then_byte_level(const std::vector<std::string_view>& expressions) {
  Json steps = Json::array();
  for (const std::string_view expression : expressions) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", expression}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  Json bytes = gpt2_pre_tokenizer();
  bytes["use_regex"] = false;
  steps.push_back(std::move(bytes));
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

Json byte_level_settings(Json normalizer, Json pre_tokenizer, bool ignore_merges) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", nullptr},
          {"decoder", gpt2_pre_tokenizer()},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", ignore_merges}}}};
}

Json bert_settings(bool lowercase, Json strip_accents, bool chinese, const std::string& unk) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", chinese},
            {"strip_accents", std::move(strip_accents)},
            {"lowercase", lowercase}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", unk},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100}}}};
}

Json metaspace_decoder(bool byte_fallback, int leading_spaces) {
  Json steps = Json::array({replace_step("String", "▁", " ")});
  if (byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (leading_spaces > 0) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", leading_spaces}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", steps}};
}

void set_affixes(TokenizerParts& parts, const std::vector<TokenId>& prefix,
                 const std::vector<TokenId>& suffix) {
  const auto named = [&](const std::vector<TokenId>& ids) {
    std::vector<TemplateToken> tokens;
    tokens.reserve(ids.size());
    for (const TokenId id : ids) {
      const auto added = std::find_if(parts.added.begin(), parts.added.end(),
                                      [&](const AddedToken& token) { return token.id == id; });
      const auto plain = std::find_if(parts.tokens.begin(), parts.tokens.end(),
                                      [&](const NamedToken& token) { return token.second == id; });
      if (added != parts.added.end()) {
        tokens.push_back({added->content, id});
      } else if (plain != parts.tokens.end()) {
        tokens.push_back({plain->first, id});
      }
    }
    return tokens;
  };
  parts.settings["post_processor"] = template_processing(named(prefix), named(suffix));
}

}  // namespace alambic
