#include "alambic/models/mask_token.h"

#include <algorithm>
#include <vector>

#include "alambic/base/error.h"

namespace alambic {
namespace {

void mean_row(Tensor& rows, int64_t known, int64_t at) {
  const int64_t width = rows.size() / rows.shape()[0];
  std::vector<double> sum(static_cast<size_t>(width));
  for (int64_t r = 0; r < known; ++r) {
    if (r == at) continue;
    for (int64_t i = 0; i < width; ++i) sum[static_cast<size_t>(i)] += rows.data()[r * width + i];
  }
  const auto others = static_cast<double>(known > at ? known - 1 : known);
  for (int64_t i = 0; i < width; ++i) {
    rows.data()[at * width + i] =
        static_cast<float>(sum[static_cast<size_t>(i)] / std::max(1.0, others));
  }
}

}  // namespace

std::unique_ptr<Transformer> with_mask_token(Transformer& model, TokenId mask) {
  ModelConfig config = model.config();
  const int vocab = config.vocab_size;
  if (!config.causal) {
    fail(ErrorCode::kUnsupported,
         "[{}] a bidirectional diffusion model; only one that runs left to right becomes a hybrid",
         config.family);
  }
  if (mask < 0 || mask > vocab) {
    fail(ErrorCode::kInvalidArgument, "[mask] id {} for a model of {} tokens; want 0 to {}", mask,
         vocab, vocab);
  }
  config.mask = mask;
  config.vocab_size = std::max(vocab, mask + 1);
  validate(config, "mask");
  std::vector<const Parameter*> given;
  model.visit([&](Parameter& p) {
    if (is_quantized(p) || p.adapter) {
      fail(ErrorCode::kUnsupported,
           "[{}] {} is {}; a model takes a mask token in floating point and whole", config.family,
           p.name, p.adapter ? "an adapter" : "quantised");
    }
    given.push_back(&p);
  });
  auto grown = std::make_unique<Transformer>(config);
  size_t next = 0;
  grown->visit([&](Parameter& p) {
    const Tensor& from = given[next++]->value;
    std::copy_n(from.data(), from.size(), p.value.data());
    // One row for each token: the table, an untied head, and its bias.
    if (p.name == "embedding" || p.name.starts_with("head")) mean_row(p.value, vocab, mask);
  });
  return grown;
}

}  // namespace alambic
