#include "alambic/models/quantize.h"

#include <algorithm>
#include <memory>

#include "alambic/autograd/input_watch.h"
#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/tensor/error_compensation.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int kCalibrationRows = 1024;  // of one forward

// Visits every matrix that is multiplied, under the name of its quantised form.
void visit_products(LanguageModel& model,
                    const std::function<void(const std::string&, Parameter&)>& visit) {
  model.visit([&](Parameter& p) {
    if (p.value.shape().size() != 2 || p.adapter) return;
    if (!p.table) {
      visit(p.name, p);
    } else if (p.value.same_as(model.head())) {
      visit("head", p);
    }
  });
}

// The sums of x xᵀ over the inputs of every matrix; matrices that see the same rows share one.
class Grams {
 public:
  void see(const Tensor& weight, const Tensor& rows) {
    std::shared_ptr<Tensor>& own = grams_[weight.raw()];
    if (last_.defined() && last_.same_as(rows)) {
      own = last_gram_;
      return;
    }
    const int64_t in = rows.cols();
    const bool first = own == nullptr;
    if (first) own = std::make_shared<Tensor>(Tensor::empty({in, in}));
    const auto width = static_cast<int>(in);
    product({width, width, static_cast<int>(rows.rows()), Precision::kFp32, !first},
            view_transposed(rows), view(rows), own->data(), in);
    last_ = rows;
    last_gram_ = own;
  }
  const Tensor& of(const Tensor& weight) const { return *grams_.at(weight.raw()); }

 private:
  std::map<const void*, std::shared_ptr<Tensor>> grams_;
  Tensor last_;
  std::shared_ptr<Tensor> last_gram_;
};

Grams calibrate(const LanguageModel& model, const QuantizeOptions& options) {
  const NoGrad no_grad;
  Grams grams;
  const InputWatch watch([&](const Tensor& w, const Tensor& x) { grams.see(w, x); });
  size_t next = 0;
  while (next < options.texts.size()) {
    if (options.progress)
      options.progress(0.5 * static_cast<double>(next) / static_cast<double>(options.texts.size()));
    std::vector<TokenId> tokens;
    Forward forward;
    do {
      const std::vector<TokenId>& text = options.texts[next++];
      forward.groups.push_back({.rows = static_cast<int>(text.size()), .position = 0});
      tokens.insert(tokens.end(), text.begin(), text.end());
    } while (next < options.texts.size() &&
             tokens.size() + options.texts[next].size() <= kCalibrationRows);
    // The head's product is left out for its inputs are all that matters, and its outputs are many.
    grams.see(model.head(), model.hidden(tokens, forward));
  }
  return grams;
}

}  // namespace

QuantizedWeights quantize(LanguageModel& model, const QuantizeOptions& options) {
  QuantizedWeights weights;
  const bool calibrated = !options.texts.empty();
  const Grams grams = calibrated ? calibrate(model, options) : Grams();
  size_t count = 0;
  visit_products(model, [&](const std::string&, Parameter&) { ++count; });
  visit_products(model, [&](const std::string& name, Parameter& p) {
    const double done = static_cast<double>(weights.size()) / static_cast<double>(count);
    if (options.progress) options.progress(calibrated ? 0.5 + 0.5 * done : done);
    weights.emplace(
        name, calibrated ? rounded_with_compensation(options.format, p.value, grams.of(p.value))
                         : QuantizedMatrix::rounded(options.format, p.value));
  });
  return weights;
}

void use_quantized(LanguageModel& model, const QuantizedWeights& weights) {
  visit_products(model, [&](const std::string& name, Parameter& p) {
    const QuantizedMatrix& quantized = weights.at(name);
    ALAMBIC_CHECK(p.value.rows() == quantized.out() && p.value.cols() == quantized.in());
    if (!p.table) p.value = Tensor::unstored(p.value.shape());
    p.value.set_packed(std::make_shared<PackedMatrix>(quantized));
  });
}

}  // namespace alambic
