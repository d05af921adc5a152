// Where a parameter lies in a checkpoint, and how its numbers get out of there and back. Families
// store some matrices transposed and some fused: parts one after another, or alternating head by
// head.
//
// Thread safety: pure functions. Errors: none; the caller compares shapes first.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "alambic/tensor/tensor.h"

namespace alambic {

struct StoredTensor {
  std::string name;
  bool transposed = false;  // [in, out] instead of [out, in]
  int part = 0, parts = 1;  // of the rows (out) of a fused tensor
  bool per_head = false;    // a head of every part, then the next head of every part

  // Of the whole stored tensor, for a parameter of the shape `own`.
  Shape shape(const Shape& own) const;
  // The name of a tensor of its own, for what cannot be fused ("c_attn.weight" ->
  // "c_attn.1.weight").
  std::string single_name() const;
};

// own = its part of `whole`, which has StoredTensor::shape().
void take_part(const StoredTensor& stored, int head_dim, std::span<const float> whole, Tensor& own);
// The other way.
void put_part(const StoredTensor& stored, int head_dim, const Tensor& own, std::span<float> whole);

}  // namespace alambic
