#include "alambic/text/gguf_pre_tokenizer.h"

#include <string>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/text/published_patterns.h"
#include "alambic/text/tokenizer_parts.h"

namespace alambic {
namespace {

Json digits(bool individual) { return {{"type", "Digits"}, {"individual_digits", individual}}; }

Json sequence(const std::vector<Json>& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

Json isolated(std::string_view expression) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", expression}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json falcon_pre_tokenizer() {
  return sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                   gpt2_pre_tokenizer(),
                   digits(false),
                   isolated("[0-9][0-9][0-9]")});
}

Json deepseek_coder_pre_tokenizer() {
  Json steps = split_then_byte_level({kLineBreakExpression, kSpacedLettersExpression,
                                      kSpacedPunctuationExpression, kDeepSeekCoderScripts});
  Json& list = steps["pretokenizers"];
  list.insert(list.end() - 1, digits(true));
  return steps;
}

struct Family {
  std::vector<std::string_view> names;
  Json (*pre_tokenizer)();
  bool nfc = false;            // composes characters first
  bool ignore_merges = false;  // a piece that is a token is that token
};

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {{"gpt-2", "default", "gpt-neox", "phi-2", "mpt", "olmo", "jais", "trillion", "roberta-bpe",
        "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "gigachat",
        "granite-docling", "modern-bert", "exaone4"},
       gpt2_pre_tokenizer},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
       [] { return split_then_byte_level({kLlama3Expression}); },
       false,
       true},
      {{"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"},
       [] { return split_then_byte_level({kLlama3Expression}); }},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open"},
       [] { return split_then_byte_level({kQwen2Expression}); },
       true},
      {{"qwen35"}, [] { return split_then_byte_level({kQwen35Expression}); }, true},
      {{"starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum"},
       [] {
         return sequence({digits(true), gpt2_pre_tokenizer()});
       }},
      {{"command-r"},
       [] {
         return sequence({digits(true), gpt2_pre_tokenizer()});
       },
       true},
      {{"falcon"}, falcon_pre_tokenizer},
      {{"bloom", "poro-chat", "gpt3-finnish"},
       [] { return split_then_byte_level({kBloomExpression}); }},
      {{"viking"},
       [] {
         return split_then_byte_level({kBloomExpression, R"(\p{N})"});
       }},
      {{"deepseek-coder"}, deepseek_coder_pre_tokenizer},
      {{"deepseek-v3", "hunyuan-dense"},
       [] {
         return split_then_byte_level(
             {kThreeDigitsExpression, kDeepSeek3Scripts, kDeepSeek3Expression});
       }},
      {{"tekken"}, [] { return split_then_byte_level({kTekkenExpression}); }, false, true},
      {{"gpt-4o", "llama4", "o200k"}, [] { return split_then_byte_level({kO200kExpression}); }},
  };
  return all;
}

}  // namespace

Json gguf_byte_level_settings(std::string_view name, std::string_view where) {
  std::string known;
  for (const Family& family : families()) {
    for (const std::string_view candidate : family.names) {
      if (candidate == name) {
        return byte_level_settings(family.nfc ? Json{{"type", "NFC"}} : Json(),
                                   family.pre_tokenizer(), family.ignore_merges);
      }
      known.append(known.empty() ? "" : ", ").append(candidate);
    }
  }
  fail(ErrorCode::kUnsupported, "[{}] tokenizer.ggml.pre {}; want one of {}", where,
       dump_json(Json(name.substr(0, 80))), known);
}

}  // namespace alambic
