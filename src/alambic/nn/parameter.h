// A named weight. Its value tensor carries the gradient; freezing it removes the graph above it.
#pragma once

#include <functional>
#include <string>

#include "alambic/tensor/tensor.h"

namespace alambic {

struct Parameter {
  std::string name;
  Tensor value;
  bool decay = true;     // weight decay applies (matrices; not norms and embeddings)
  bool table = false;    // rows are looked up; its learning rate follows its scale
  bool adapter = false;  // a factor of a low-rank addition: while there are any, they alone learn

  void set_trainable(bool trainable) {
    value.set_requires_grad(trainable);
    value.grad() = Tensor();
  }
};

using ParameterVisitor = std::function<void(Parameter&)>;

}  // namespace alambic
