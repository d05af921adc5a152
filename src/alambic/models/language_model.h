// Student and local teacher alike. A student is a LanguageModel whose parameters are trainable.
// Thread safety: const calls on a frozen model may run at the same time, each with its own caches.
#pragma once

#include <span>

#include "alambic/base/token.h"
#include "alambic/models/model_config.h"
#include "alambic/nn/forward.h"
#include "alambic/nn/parameter.h"
#include "alambic/tensor/row_summary.h"

namespace alambic {

class LanguageModel {
 public:
  LanguageModel() = default;
  LanguageModel(const LanguageModel&) = delete;
  LanguageModel& operator=(const LanguageModel&) = delete;
  virtual ~LanguageModel() = default;

  virtual const ModelConfig& config() const = 0;
  // One vector per row, after the final norm: [rows, dim]. Rows come in the order of
  // forward.groups.
  virtual Tensor hidden(std::span<const TokenId> tokens, const Forward& forward) const = 0;
  // [rows, dim] -> [rows, vocab]; for the few rows that decoding wants. Losses take head() and work
  // in chunks.
  virtual Tensor logits(const Tensor& hidden_rows, Precision precision) const = 0;
  // What greedy text wants of the logits: their summaries over the columns that count. The bits are
  // those of summarise() on rows of logits(), which is also what it does unless overridden; a model
  // with a fused head makes no [rows, vocab].
  virtual void summaries(const Tensor& hidden_rows, Precision precision,
                         const CountedColumns& columns, std::span<RowSummary> out) const;
  virtual const Tensor& head() const = 0;
  virtual const Tensor& head_bias() const = 0;  // undefined: none
  // The only list of parameters: serves init, load, save, freeze, optimise, print.
  virtual void visit(const ParameterVisitor& visitor) = 0;
};

// True where the weight (of a tied embedding: as the head) is quantised.
bool is_quantized(const Parameter& p);
// Freezes every parameter and packs the weights for inference at this precision; quantised ones
// stay as they are.
void freeze_for_inference(LanguageModel& model, Precision precision);
// All parameters, or, where there are adapters, those alone: the rest stays as it is, packed forms
// included. kUnsupported where weights that would learn are quantised: they have no gradients.
void set_trainable(LanguageModel& model, bool trainable);
// For forwards of this precision.
KvCache make_cache(const ModelConfig& config, Precision precision);

}  // namespace alambic
