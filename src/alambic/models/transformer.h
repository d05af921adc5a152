// The one Transformer: pre-norm blocks of self-attention and an MLP. Its shape is LLaMA's (Touvron
// et al. 2023) where ModelConfig says nothing else.
#pragma once

#include <memory>
#include <vector>

#include "alambic/models/language_model.h"
#include "alambic/nn/self_attention.h"

namespace alambic {

class Transformer final : public LanguageModel {
 public:
  // Weights uninitialised; initialise() or a loader fills them. Unstored weights have shapes only:
  // a loader replaces them.
  enum class Weights { kUninitialised, kUnstored };
  explicit Transformer(ModelConfig config, Weights weights = Weights::kUninitialised);

  const ModelConfig& config() const override { return config_; }
  Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const override;
  Tensor logits(const Tensor& hidden_rows, Precision precision) const override;
  void summaries(const Tensor& hidden_rows, Precision precision, const CountedColumns& columns,
                 std::span<RowSummary> out) const override;
  const Tensor& head() const override {
    return config_.tied_head ? embedding_.value : head_.weight.value;
  }
  const Tensor& head_bias() const override { return head_.bias.value; }
  void visit(const ParameterVisitor& visitor) override;
  // The matrices of the layers, with what stands beside them.
  void visit_linears(const std::function<void(Linear&)>& visitor);

  // Gaussian matrices of variance 1 / (3 fan_in), zero output projections (a block starts as the
  // identity), for a tied head a final gain that keeps a token's own first logit small, and in the
  // first two layers a circuit that copies (copy_circuit.h).
  void initialise(uint64_t seed);
  // Takes over the weights of a teacher of the same width: embedding (the rows both vocabularies
  // have), norms and its lowest layers (arXiv 2305.15032: they carry over best), of a wider MLP the
  // neurons with the largest norms. What has no match stays as it was. Returns the share of this
  // model's weights that were taken.
  double inherit(const Transformer& teacher);

 private:
  struct Layer {
    SelfAttention attention;
    NormLayer mlp_norm;
    Linear gate, up, down;
  };
  // Learned positions of rows: [rows, dim]
  Tensor position_rows(std::span<const int64_t> positions) const;
  Tensor feed_forward(const Layer& layer, const Tensor& x, Precision precision) const;

  ModelConfig config_;
  std::vector<double> frequencies_;  // of rotary positions
  Parameter embedding_, positions_ = {};
  NormLayer embedding_norm_ = {}, final_norm_;
  Linear head_ = {};
  std::vector<Layer> layers_;
};

}  // namespace alambic
