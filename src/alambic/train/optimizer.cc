#include "alambic/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements per task, and per partial sum of the norm

double sum_squares(const Tensor& t) {
  std::vector<double> partial(static_cast<size_t>((t.size() + kChunk - 1) / kChunk));
  parallel_rows(t.size(), kChunk, [&](int64_t begin, int64_t end) {
    partial[static_cast<size_t>(begin / kChunk)] =
        kernels::kernels().sum_squares(t.data() + begin, end - begin);
  });
  double sum = 0;
  for (const double p : partial) sum += p;
  return sum;
}

}  // namespace

AdamWOptimizer::AdamWOptimizer(LanguageModel& model, const AdamWOptions& options)
    : options_(options) {
  model.visit([&](Parameter& p) {
    if (p.value.requires_grad()) {
      const double rms = std::sqrt(sum_squares(p.value) / static_cast<double>(p.value.size()));
      slots_.push_back({&p, p.table ? std::max(1.0, rms / kTableRms) : 1.0,
                        Tensor::zeros(p.value.shape()), Tensor::zeros(p.value.shape())});
    }
  });
}

double AdamWOptimizer::step(double lr, double count) {
  double total = 0;
  for (const Slot& slot : slots_) {
    if (slot.parameter->value.grad().defined()) total += sum_squares(slot.parameter->value.grad());
  }
  const double norm = std::sqrt(total) / count;
  if (std::isfinite(norm)) {
    ++steps_;
    const double clip = options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1.0;
    const auto power = [this](double beta) {
      return static_cast<float>(1 - std::pow(beta, steps_));
    };
    kernels::AdamW step{0,
                        static_cast<float>(options_.beta1),
                        static_cast<float>(options_.beta2),
                        static_cast<float>(options_.eps),
                        0,
                        power(options_.beta1),
                        power(options_.beta2),
                        static_cast<float>(clip / count)};
    for (Slot& slot : slots_) {
      Tensor& w = slot.parameter->value;
      const Tensor& grad = w.grad();
      if (!grad.defined()) continue;
      step.lr = static_cast<float>(lr * slot.rate);
      step.weight_decay = slot.parameter->decay ? static_cast<float>(options_.weight_decay) : 0.0F;
      parallel_rows(w.size(), kChunk, [&](int64_t begin, int64_t end) {
        kernels::kernels().adamw(step, grad.data() + begin, end - begin, w.data() + begin,
                                 slot.m.data() + begin, slot.v.data() + begin);
      });
    }
  }
  for (Slot& slot : slots_) slot.parameter->value.grad() = Tensor();
  return norm;
}

}  // namespace alambic
