// A linear layer and a norm as named parameters. An undefined value means that the model has none.
#pragma once

#include "alambic/autograd/linear_weights.h"
#include "alambic/nn/parameter.h"

namespace alambic {

struct Linear {
  Parameter weight;      // [out, in]
  Parameter bias = {};   // [out]
  Parameter low_a = {};  // [rank, in]: a low-rank addition, while it is trained or tried out
  Parameter low_b = {};  // [out, rank]
  float low_scale = 0;

  LinearWeights weights() const {
    return {weight.value, bias.value, {low_a.value, low_b.value, low_scale}};
  }
  void visit(const ParameterVisitor& visitor) {
    for (Parameter* p : {&weight, &bias, &low_a, &low_b}) {
      if (p->value.defined()) visitor(*p);
    }
  }
};

struct NormLayer {
  Parameter weight;     // [dim]
  Parameter bias = {};  // [dim]: a layer norm; else RMS norm

  Norm norm(float eps) const { return {weight.value, bias.value, eps}; }
  void visit(const ParameterVisitor& visitor) {
    if (!weight.value.defined()) return;
    visitor(weight);
    if (bias.value.defined()) visitor(bias);
  }
};

}  // namespace alambic
