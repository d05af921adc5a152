#include "alambic/autograd/graph.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

std::atomic<uint64_t> next_order{1};
constexpr int64_t kGrain = 1 << 15;  // elements per task of an elementwise loop

void add_into(const float* source, int64_t n, float* target) {
  parallel_rows(n, kGrain, [&](int64_t begin, int64_t end) {
    kernels::kernels().axpy(1.0F, source + begin, end - begin, target + begin);
  });
}

}  // namespace

bool recording(std::initializer_list<const Tensor*> inputs) {
  return grad_enabled() && std::any_of(inputs.begin(), inputs.end(),
                                       [](const Tensor* t) { return t->requires_grad(); });
}

Tensor record(Tensor out, std::vector<Tensor> inputs, std::function<void(const Tensor&)> backward) {
  const bool any =
      std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.requires_grad(); });
  if (grad_enabled() && any) {
    out.set_node(
        std::make_shared<Node>(Node{next_order++, std::move(inputs), std::move(backward)}));
  }
  return out;
}

void pass_gradient(const Tensor& input, const Tensor& grad) {
  if (!input.requires_grad()) return;
  if (!input.grad().defined()) {
    input.grad() = grad;
  } else {
    add_into(grad.data(), grad.size(), input.grad().data());
  }
}

void add_gradient(const Tensor& input, const Tensor& grad) {
  if (!input.requires_grad()) return;
  if (!input.grad().defined()) {
    input.grad() = grad.clone();
  } else {
    add_into(grad.data(), grad.size(), input.grad().data());
  }
}

void backward(const Tensor& loss) {
  ALAMBIC_CHECK(loss.size() == 1);
  if (!loss.requires_grad()) return;
  std::vector<Tensor> pending{loss}, order;
  std::unordered_set<const Node*> seen;
  while (!pending.empty()) {
    Tensor t = pending.back();
    pending.pop_back();
    const Node* node = t.node().get();
    if (node == nullptr || !seen.insert(node).second) continue;
    order.push_back(t);
    for (const Tensor& input : node->inputs) {
      if (input.requires_grad()) pending.push_back(input);
    }
  }
  std::sort(order.begin(), order.end(),
            [](const Tensor& a, const Tensor& b) { return a.node()->order > b.node()->order; });
  loss.grad() = Tensor::from({1}, std::vector<float>{1.0F});
  for (Tensor& t : order) {
    const std::shared_ptr<Node> node = t.node();
    const Tensor grad = t.grad();
    t.grad() = Tensor();
    t.set_node(nullptr);
    if (grad.defined()) node->backward(grad);
    t = Tensor();
  }
}

}  // namespace alambic
