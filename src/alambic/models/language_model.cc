#include "alambic/models/language_model.h"

#include "alambic/tensor/product.h"

namespace alambic {

void freeze_for_inference(LanguageModel& model, Precision precision) {
  const void* head = model.head().raw();
  model.visit([&](Parameter& p) {
    p.set_trainable(false);
    const bool looked_up_only = p.name == "embedding" && p.value.raw() != head;
    if (p.value.shape().size() == 2 && !looked_up_only) prepare(p.value, precision);
  });
}

void set_trainable(LanguageModel& model, bool trainable) {
  model.visit([&](Parameter& p) {
    p.set_trainable(trainable);
    p.value.set_packed(nullptr);
  });
}

KvCache make_cache(const ModelConfig& config) {
  return {config.layers, config.kv_heads, config.head_dim};
}

}  // namespace alambic
