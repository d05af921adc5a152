#include "alambic/tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "alambic/base/error.h"
#include "alambic/tensor/recycler.h"
#include "alambic/tensor/storage.h"

namespace alambic {
namespace {

thread_local bool recording = true;

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    ALAMBIC_CHECK(extent >= 0);
    if (extent > 0 && count > std::numeric_limits<int64_t>::max() / 16 / extent) {
      fail(ErrorCode::kResourceExhausted, "[tensor] a shape has too many elements");
    }
    count *= extent;
  }
  return count;
}

}  // namespace

struct Tensor::Impl {
  std::shared_ptr<Storage> storage;
  Shape shape;
  DType dtype = DType::kF32;
  int64_t size = 0;
  bool requires_grad = false;
  Tensor grad;
  std::shared_ptr<Node> node;
  std::shared_ptr<const PackedMatrix> packed;
};

Tensor Tensor::empty(Shape shape, DType dtype) {
  Tensor tensor;
  tensor.impl_ = std::allocate_shared<Impl>(Recycler<Impl>());
  tensor.impl_->size = element_count(shape);
  tensor.impl_->storage = std::allocate_shared<Storage>(
      Recycler<Storage>(), static_cast<size_t>(tensor.impl_->size) * dtype_size(dtype));
  tensor.impl_->shape = shape;
  tensor.impl_->dtype = dtype;
  return tensor;
}

Tensor Tensor::zeros(Shape shape) {
  Tensor tensor = empty(shape);
  std::fill_n(tensor.data(), tensor.size(), 0.0F);
  return tensor;
}

Tensor Tensor::from(Shape shape, std::span<const float> values) {
  Tensor tensor = empty(shape);
  ALAMBIC_CHECK(static_cast<size_t>(tensor.size()) == values.size());
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

Tensor Tensor::lent(Shape shape, DType dtype, const std::byte* bytes,
                    std::shared_ptr<const void> owner) {
  Tensor tensor;
  tensor.impl_ = std::allocate_shared<Impl>(Recycler<Impl>());
  tensor.impl_->size = element_count(shape);
  tensor.impl_->storage = std::make_shared<Storage>(bytes, std::move(owner));
  tensor.impl_->shape = shape;
  tensor.impl_->dtype = dtype;
  return tensor;
}

Tensor Tensor::unstored(Shape shape) {
  Tensor tensor;
  tensor.impl_ = std::allocate_shared<Impl>(Recycler<Impl>());
  tensor.impl_->size = element_count(shape);
  tensor.impl_->shape = shape;
  return tensor;
}

const Shape& Tensor::shape() const { return impl_->shape; }
DType Tensor::dtype() const { return impl_->dtype; }
int64_t Tensor::size() const { return impl_->size; }
int64_t Tensor::cols() const { return impl_->shape.empty() ? 1 : impl_->shape.back(); }
int64_t Tensor::rows() const { return cols() == 0 ? 0 : impl_->size / cols(); }

std::byte* Tensor::raw() { return impl_->storage == nullptr ? nullptr : impl_->storage->data(); }
const std::byte* Tensor::raw() const {
  return impl_->storage == nullptr ? nullptr : impl_->storage->data();
}

float* Tensor::data() {
  ALAMBIC_CHECK(impl_->dtype == DType::kF32 && impl_->storage != nullptr);
  return reinterpret_cast<float*>(raw());
}
const float* Tensor::data() const {
  ALAMBIC_CHECK(impl_->dtype == DType::kF32 && impl_->storage != nullptr);
  return reinterpret_cast<const float*>(raw());
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape(), dtype());
  std::memcpy(copy.raw(), raw(), static_cast<size_t>(size()) * dtype_size(dtype()));
  return copy;
}

Tensor Tensor::alias() const {
  Tensor other;
  other.impl_ = std::allocate_shared<Impl>(Recycler<Impl>());
  other.impl_->storage = impl_->storage;
  other.impl_->shape = impl_->shape;
  other.impl_->dtype = impl_->dtype;
  other.impl_->size = impl_->size;
  return other;
}

bool Tensor::requires_grad() const { return impl_ != nullptr && impl_->requires_grad; }

void Tensor::set_requires_grad(bool value) {
  ALAMBIC_CHECK(impl_->node == nullptr);
  impl_->requires_grad = value;
}

Tensor& Tensor::grad() const { return impl_->grad; }

Tensor::GradSink Tensor::grad_sink() const {
  if (impl_->grad.defined()) return {impl_->grad.data(), true};
  impl_->grad = empty(shape());
  return {impl_->grad.data(), false};
}

const std::shared_ptr<Node>& Tensor::node() const { return impl_->node; }
void Tensor::set_node(std::shared_ptr<Node> node) {
  impl_->node = std::move(node);
  impl_->requires_grad = impl_->node != nullptr;
}

const std::shared_ptr<const PackedMatrix>& Tensor::packed() const { return impl_->packed; }
void Tensor::set_packed(std::shared_ptr<const PackedMatrix> packed) {
  impl_->packed = std::move(packed);
}

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }
bool grad_enabled() { return recording; }

MemoryUse memory_use() { return {live_bytes(), cached_bytes()}; }

}  // namespace alambic
