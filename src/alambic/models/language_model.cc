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
    if (is_quantized(p) || p.adapter) return;
    if (p.value.shape().size() == 2 && !looked_up_only) prepare(p.value, precision);
  });
}

void set_trainable(LanguageModel& model, bool trainable) {
  bool adapters = false;
  model.visit([&](const Parameter& p) { adapters = adapters || p.adapter; });
  model.visit([&](Parameter& p) {
    const bool learns = trainable && (p.adapter || !adapters);
    if (learns && is_quantized(p)) {
      fail(ErrorCode::kUnsupported,
           "[{}] is quantised; only floating-point weights can be trained, or adapters beside it",
           p.name);
    }
    ALAMBIC_CHECK(!learns || p.value.raw() != nullptr);
    p.set_trainable(learns);
    if (learns || !adapters) p.value.set_packed(nullptr);
  });
}

KvCache make_cache(const ModelConfig& config, Precision precision) {
  return {config.layers, config.kv_heads, config.head_dim, precision};
}

}  // namespace alambic
