#include "alambic/models/language_model.h"

#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {

void LanguageModel::summaries(const Tensor& hidden_rows, Precision precision,
                              const CountedColumns& columns, std::span<RowSummary> out) const {
  const Tensor rows = logits(hidden_rows, precision);
  for (size_t r = 0; r < out.size(); ++r)
    out[r] = summarise(rows.row(static_cast<int64_t>(r)), columns);
}

bool is_quantized(const Parameter& p) {
  return p.value.packed() != nullptr && p.value.packed()->quantized() != nullptr;
}

void freeze_for_inference(LanguageModel& model, Precision precision) {
  model.visit([&](Parameter& p) {
    p.set_trainable(false);
    const bool looked_up_only = p.table && !p.value.same_as(model.head());
    if (is_quantized(p)) return;
    if (p.value.shape().size() == 2 && !looked_up_only) prepare(p.value, precision);
  });
}

void set_trainable(LanguageModel& model, bool trainable) {
  model.visit([&](Parameter& p) {
    if (trainable && is_quantized(p)) {
      fail(ErrorCode::kUnsupported, "[{}] is quantised; only floating-point weights can be trained",
           p.name);
    }
    ALAMBIC_CHECK(!trainable || p.value.raw() != nullptr);
    p.set_trainable(trainable);
    p.value.set_packed(nullptr);
  });
}

KvCache make_cache(const ModelConfig& config, Precision precision) {
  return {config.layers, config.kv_heads, config.head_dim, precision};
}

}  // namespace alambic
