// Keys and values of the rows a decoding session has settled on, per layer. Owned by the session,
// never by the model.
//
// A forward stages the rows of its causal group behind the committed ones; commit(n) then keeps the
// first n of them (a verifier keeps what it accepted), and the rest are overwritten by the next
// forward. A cache for bf16 holds its numbers in bf16: exactly, since a forward of that precision
// rounds keys and values as it makes them. Thread safety: one session, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "alambic/autograd/ops_attention.h"
#include "alambic/kernels/table.h"

namespace alambic {

class KvCache {
 public:
  KvCache(int layers, int kv_heads, int head_dim, kernels::Precision precision);

  // No more rows than these are expected: growing by doubling stops there.
  void expect(int rows) { expected_ = rows; }
  // Rows that there is room for once `rows` have come, the first `at_once` of them in one forward.
  static int capacity_after(int at_once, int rows, int expected);

  int length() const { return length_; }
  // The committed rows of a layer; valid until the next stage() or commit().
  CachedKeys keys(int layer) const;
  // Writes rows [rows, kv_heads * head_dim] of row stride `ld` behind the committed ones.
  void stage(int layer, const float* keys, const float* values, int64_t ld, int rows);
  void commit(int rows);
  void truncate(int length);
  // Starts over with the first `length` rows of another cache of the same shape.
  void copy_from(const KvCache& other, int length);
  int64_t bytes() const;

 private:
  struct Layer {
    std::vector<std::byte> keys;    // [kv_heads * head_dim, capacity], a key per column
    std::vector<std::byte> values;  // [capacity, kv_heads * head_dim]
  };
  void reserve(int rows);
  size_t bytes_of(int64_t elements) const { return static_cast<size_t>(elements) * element_; }

  int width_;
  size_t element_;  // bytes
  int length_ = 0, staged_ = 0, capacity_ = 0, expected_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace alambic
