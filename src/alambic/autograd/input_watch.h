// Shows what weights are multiplied by: while one is alive on a thread, linear(), norm_linear(),
// gated_mlp() and mlp() there report each weight [out, in] with the rows [rows, in] that meet it.
// Calibration of quantised weights reads them.
//
// Ownership: the callback may keep the handles. Thread safety: one thread's business; they nest,
// the innermost sees.
#pragma once

#include <functional>

#include "alambic/tensor/tensor.h"

namespace alambic {

class InputWatch {
 public:
  using Callback = std::function<void(const Tensor& weight, const Tensor& rows)>;
  explicit InputWatch(Callback see);
  ~InputWatch();
  InputWatch(const InputWatch&) = delete;
  InputWatch& operator=(const InputWatch&) = delete;

  static const InputWatch* on_this_thread();  // null if none
  void see(const Tensor& weight, const Tensor& rows) const { see_(weight, rows); }

 private:
  Callback see_;
  const InputWatch* outer_;
};

}  // namespace alambic
