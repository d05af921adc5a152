// Matrix products of oneDNN, to measure beside our own. The library is loaded at run time, so that
// the program starts without it and runs where it is missing.
//
// Ownership: an OnednnProduct owns copies of its operands. Thread safety: one thread; the library
// uses as many threads as thread_count() says when the product is made. Errors: kUnsupported where
// the library refuses what it first accepted.
#pragma once

#include <cstddef>
#include <memory>

namespace alambic {

// Whether Debian 12's libdnnl.so.2 can be loaded.
bool onednn_found();

// Of both operands, with sums in f32; kInt8 is u8 times s8 into s32, what the library does best.
enum class OnednnType { kF32, kBf16, kInt8 };

class OnednnProduct {
 public:
  // c[m, n] = x[m, k] w[n, k]ᵀ, with `copies` of w in the library's own layout. Values are rounded
  // to `type`. Null where the library is missing or has no fast code for this type on this CPU.
  static std::unique_ptr<OnednnProduct> make(OnednnType type, int m, int k, int n, const float* x,
                                             const float* w, size_t copies);
  ~OnednnProduct();
  OnednnProduct(const OnednnProduct&) = delete;
  OnednnProduct& operator=(const OnednnProduct&) = delete;

  void multiply(size_t copy);
  // What the last multiply() wrote: m * n of float, or of int32_t for kInt8.
  const void* output() const;

 private:
  struct Impl;
  explicit OnednnProduct(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace alambic
