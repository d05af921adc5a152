// The dial between speed and quality: from one number to a decode mode and its settings, by what a
// model's settings came to on development data (ModelCard::dial).
//   1      the text of `ar`, as fast as it can be had without loss
//   0      the fastest setting that was measured
//   else   the fastest one that keeps that share of the way from the score of 0 to that of 1
// Thread safety: pure functions. Errors: kUnsupported for a model without a dial, kInvalidArgument
// for a quality outside 0 to 1.
#pragma once

#include <span>

#include "alambic/decode/decode.h"
#include "alambic/models/model_card.h"

namespace alambic {

// Of settings with what each kept and its speed: those that no other beats in both, fastest first.
std::vector<QualityPoint> frontier(std::vector<QualityPoint> points);
// The extra speed over `ar`, each part of it weighted by the share of the score that is kept there:
// the integral over s >= 1 of the best share kept at speed s or more.
double area_under(std::span<const QualityPoint> dial);

const QualityPoint& choose_quality(std::span<const QualityPoint> dial, double quality);
// The mode of a point, and its settings into `options`.
DecodeMode apply(const QualityPoint& point, GenerateOptions& options);

}  // namespace alambic
