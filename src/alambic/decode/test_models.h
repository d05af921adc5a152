// Models for the tests of this room.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/decode/decode.h"
#include "alambic/models/transformer.h"
#include "alambic/tensor/product.h"

namespace alambic {

inline constexpr int kTestVocabulary = 40;
inline constexpr TokenId kTestMask = 38;  // 39 stands for an id that the tokenizer does not have

// A small transformer with every matrix random, so that logits depend on everything a row sees.
// `habit` adds one common direction to all embeddings that the head answers with a few favourite
// tokens: masks then often guess right.
inline std::unique_ptr<Transformer> random_model(uint64_t seed, float habit = 0,
                                                 Precision precision = Precision::kFp32,
                                                 int max_positions = 512,
                                                 int vocabulary = kTestVocabulary) {
  ModelConfig config;
  config.vocab_size = vocabulary;
  config.dim = 32;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 8;
  config.ffn = 48;
  config.max_positions = max_positions;
  config.tied_head = false;
  config.mask = kTestMask;
  auto model = std::make_unique<Transformer>(config);
  uint64_t stream = 0;
  model->visit([&](Parameter& p) {
    Rng rng(seed, ++stream);
    const bool vector = p.value.shape().size() == 1;
    const bool table = p.name == "embedding" || p.name == "head";
    const double std = table ? 0.7 : 1.0 / std::sqrt(static_cast<double>(p.value.cols()));
    for (float& w : p.value.values()) {
      w = static_cast<float>(vector ? 1 + 0.2 * rng.normal() : std * rng.normal());
    }
    if (!table) return;
    for (int64_t token = 0; token < p.value.rows(); ++token) {
      const bool favourite = p.name == "head" && token < 4;
      if (p.name == "embedding" || favourite)
        p.value.row(token)[0] += favourite ? 0.5F * habit : habit;
    }
  });
  freeze_for_inference(*model, precision);
  return model;
}

// All matrices but the embedding, which is not the head here.
inline void quantize_weights(Transformer& model, WeightFormat format) {
  model.visit([format](Parameter& p) {
    if (p.value.shape().size() != 2 || p.name == "embedding") return;
    p.value.set_packed(std::make_shared<PackedMatrix>(QuantizedMatrix::rounded(format, p.value)));
  });
}

inline std::vector<Prompt> random_prompts(int count, uint64_t seed, int longest = 12) {
  Rng rng(seed);
  std::vector<Prompt> prompts(static_cast<size_t>(count));
  for (Prompt& prompt : prompts) {
    const auto length = 1 + rng.below(static_cast<uint64_t>(longest));
    for (uint64_t i = 0; i < length; ++i)
      prompt.tokens.push_back(static_cast<TokenId>(rng.below(kTestMask)));
  }
  return prompts;
}

// What the model says behind `tokens` when everything is computed afresh in one causal group: no
// cache, no batch.
inline std::vector<float> full_prefix_logits(const LanguageModel& model,
                                             std::span<const TokenId> tokens,
                                             Precision precision = Precision::kFp32) {
  const Forward forward{{{static_cast<int>(tokens.size()), 0}}, precision};
  const Tensor logits = model.logits(model.hidden(tokens, forward), precision);
  const float* last = logits.row(logits.rows() - 1);
  return {last, last + logits.cols()};
}

// A model whose text is a function of position alone, so that what a decoder must do can be counted
// by hand. A causal row says text(position + 1). A mask says text(position), except at multiples of
// `wrong_every`, where it says another token; `sure` is how strongly. With `learns`, a mask is only
// wrong among nothing but masks.
class PositionModel final : public LanguageModel {
 public:
  explicit PositionModel(int wrong_every = 0, float sure = 10, bool learns = false)
      : wrong_every_(wrong_every), sure_(sure), learns_(learns) {
    config_.vocab_size = kTestVocabulary;
    config_.dim = 1;
    config_.layers = config_.kv_heads = config_.heads = config_.head_dim = 1;
    config_.mask = kTestMask;
  }
  static TokenId text(int position) { return static_cast<TokenId>(position * 7 % 30); }
  // A prompt that this model would have written itself.
  static Prompt prompt(int length) {
    Prompt prompt;
    for (int i = 0; i < length; ++i) prompt.tokens.push_back(text(i));
    return prompt;
  }

  const ModelConfig& config() const override { return config_; }
  Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const override {
    Tensor out =
        Tensor::empty({static_cast<int64_t>(tokens.size()), 1});  // the token that the row says
    int64_t row = 0;
    for (const RowGroup& group : forward.groups) {
      if (group.causal && group.cache != nullptr) {
        const std::vector<float> nothing(static_cast<size_t>(group.rows));
        group.cache->stage(0, nothing.data(), nothing.data(), 1, group.rows);
      }
      const auto group_tokens =
          tokens.subspan(static_cast<size_t>(row), static_cast<size_t>(group.rows));
      const bool fresh = std::all_of(group_tokens.begin(), group_tokens.end(),
                                     [](TokenId t) { return t == kTestMask; });
      for (int i = 0; i < group.rows; ++i, ++row) {
        const int position = group.position + i;
        const bool masked = tokens[static_cast<size_t>(row)] == kTestMask;
        const bool wrong =
            masked && (fresh || !learns_) && wrong_every_ > 0 && position % wrong_every_ == 0;
        // Inside a block a row speaks of its own place, written or not.
        out.data()[row] = static_cast<float>(wrong                     ? 30
                                             : masked || !group.causal ? text(position)
                                                                       : text(position + 1));
      }
    }
    return out;
  }
  Tensor logits(const Tensor& hidden_rows, Precision) const override {
    Tensor out = Tensor::zeros({hidden_rows.rows(), kTestVocabulary});
    for (int64_t r = 0; r < out.rows(); ++r)
      out.row(r)[static_cast<int>(hidden_rows.row(r)[0])] = sure_;
    return out;
  }
  const Tensor& head() const override { return head_; }
  const Tensor& head_bias() const override { return no_bias_; }
  void visit(const ParameterVisitor&) override {}

 private:
  ModelConfig config_;
  Tensor head_, no_bias_;
  int wrong_every_;
  float sure_;
  bool learns_;
};

inline Generation write(DecodeMode mode, const LanguageModel& model, const Prompt& prompt,
                        const GenerateOptions& options, const TokenSink& sink = {}) {
  return make_decoder(mode, model)->generate(prompt, options, sink);
}

}  // namespace alambic
