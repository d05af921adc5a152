// Tensor: a value handle on shared storage with a shape, an element type and, under autograd, a
// place in the graph.
//
// Ownership: copies share storage and graph position; storage returns to a process-wide cache when
// the last handle goes (fresh pages cost more than the arithmetic on them). Activations are fp32
// and two-dimensional, [rows, cols]: sequences are packed one after another along the rows, so no
// padding ever exists. Thread safety: handles may be read from many threads; graph building belongs
// to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "alambic/tensor/dtype.h"
#include "alambic/tensor/shape.h"

namespace alambic {

class PackedMatrix;
struct Node;

class Tensor {
 public:
  Tensor() = default;
  static Tensor empty(Shape shape, DType dtype = DType::kF32);  // uninitialised
  static Tensor zeros(Shape shape);
  static Tensor from(Shape shape, std::span<const float> values);
  // Looks at bytes that `owner` keeps alive, at least as many as the shape needs; read only.
  static Tensor lent(Shape shape, DType dtype, const std::byte* bytes,
                     std::shared_ptr<const void> owner);
  // A shape without numbers: the handle of a weight that exists in packed form alone (product.h).
  static Tensor unstored(Shape shape);

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  DType dtype() const;
  int64_t size() const;  // elements
  int64_t rows() const;  // product of all dimensions but the last
  int64_t cols() const;  // last dimension
  float* data();         // fp32 only
  const float* data() const;
  float* row(int64_t r) { return data() + r * cols(); }
  const float* row(int64_t r) const { return data() + r * cols(); }
  std::span<float> values() { return {data(), static_cast<size_t>(size())}; }
  std::span<const float> values() const { return {data(), static_cast<size_t>(size())}; }
  std::byte* raw();
  const std::byte* raw() const;
  Tensor clone() const;  // deep copy, outside the graph
  Tensor alias() const;  // same storage, no graph position of its own yet
  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }

  // --- graph ---
  // True iff a trainable parameter is upstream (or this is one).
  bool requires_grad() const;
  void set_requires_grad(bool value);  // leaves only
  // The gradient buffer; undefined until a backward pass reached this tensor. A handle is const,
  // its gradient is not.
  Tensor& grad() const;
  // A buffer to write this tensor's gradient into, and whether it already holds a sum to add to.
  struct GradSink {
    float* data;
    bool accumulate;
  };
  GradSink grad_sink() const;
  const std::shared_ptr<Node>& node() const;
  void set_node(std::shared_ptr<Node> node);

  // A packed form for frozen weights (product.h), cached or the only one; null if none.
  const std::shared_ptr<const PackedMatrix>& packed() const;
  void set_packed(std::shared_ptr<const PackedMatrix> packed);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// One recorded operation. `backward` reads the gradient of the output and adds into the sinks of
// the inputs that require one. Nodes are ordered by creation, which is a topological order.
struct Node {
  uint64_t order;
  std::vector<Tensor> inputs;
  std::function<void(const Tensor& grad)> backward;
};

// While alive on this thread, no graph is recorded.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};
bool grad_enabled();

// Bytes now held by tensors, and returned to the cache but not to the system.
struct MemoryUse {
  int64_t live, cached;
};
MemoryUse memory_use();

}  // namespace alambic
