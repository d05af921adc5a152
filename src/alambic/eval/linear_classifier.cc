#include "alambic/eval/linear_classifier.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "alambic/base/error.h"
#include "alambic/base/rng.h"
#include "alambic/base/thread_pool.h"

namespace alambic {
namespace {

// Ceiling on the separator's floats (256 MB): more classes leave room for fewer features.
constexpr size_t kMaxWeights = size_t{1} << 26;
// Classes that are trained side by side. It is fixed, so that results do not depend on threads.
constexpr size_t kLanes = 16;
constexpr size_t kHeldOutEvery = 5;
constexpr size_t kFewRows = 20;  // too few to choose a temperature by

std::vector<std::string> distinct_labels(std::span<const std::string> texts,
                                         std::span<const std::string> labels) {
  if (texts.size() != labels.size() || texts.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[baseline] training texts and answers must pair up; got {} and {}, want equal and not 0",
         texts.size(), labels.size());
  }
  std::vector<std::string> classes(labels.begin(), labels.end());
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  if (classes.size() > LinearClassifier::kMaxClasses) {
    fail(ErrorCode::kUnsupported, "[baseline] a linear classifier over labels; got {}, want <= {}",
         classes.size(), LinearClassifier::kMaxClasses);
  }
  return classes;
}

size_t room_for_features(size_t classes) {
  const size_t width = (classes + kLanes - 1) / kLanes * kLanes;
  return std::min(TfIdf::kMaxFeatures, kMaxWeights / width);
}

// Rows that end in the intercept's input, and the number of the class of each.
struct LabelledRows {
  std::vector<SparseVector> rows;
  std::vector<size_t> targets;
};

// Dual coordinate descent for the squared hinge (Hsieh et al., "A dual coordinate descent method
// for large-scale linear SVM", 2008). Classes [first, first + kLanes) at once: they visit the same
// examples in the same order, so one pass over a text's features serves them all.
// `weights`: [features + 1, kLanes]; `alpha`: [rows, kLanes]; both zero, or as an earlier training
// on some of the members left them.
void train_lanes(const LabelledRows& data, std::span<const size_t> members, size_t first,
                 const LinearClassifier::Options& options, std::span<float> weights,
                 std::span<float> alpha) {
  using Lanes = std::array<float, kLanes>;
  const auto diagonal = static_cast<float>(0.5 / options.c);
  std::vector<size_t> order(members.begin(), members.end());
  std::vector<float> squares(data.rows.size(), 0.0F);
  for (const size_t i : members) {
    for (const Feature& feature : data.rows[i]) squares[i] += feature.weight * feature.weight;
  }
  Rng rng(options.seed);
  float first_violation = 0;
  for (int epoch = 0; epoch < options.max_epochs; ++epoch) {
    rng.shuffle(order);
    float violation = 0;
    for (const size_t i : order) {
      Lanes margin{}, step{};
      for (const Feature& feature : data.rows[i]) {
        const float* w = weights.data() + feature.index * kLanes;
        for (size_t k = 0; k < kLanes; ++k) margin[k] += feature.weight * w[k];
      }
      float* a = alpha.data() + i * kLanes;
      const float rate = 1 / (squares[i] + diagonal);
      float moved = 0;
      for (size_t k = 0; k < kLanes; ++k) {
        const float y = first + k == data.targets[i] ? 1.0F : -1.0F;
        const float next = std::max(0.0F, a[k] - (y * margin[k] - 1 + diagonal * a[k]) * rate);
        step[k] = y * (next - a[k]);
        moved = std::max(moved, std::abs(step[k]));
        a[k] = next;
      }
      if (moved == 0) continue;
      violation = std::max(violation, moved);
      for (const Feature& feature : data.rows[i]) {
        float* w = weights.data() + feature.index * kLanes;
        for (size_t k = 0; k < kLanes; ++k) w[k] += feature.weight * step[k];
      }
    }
    if (epoch == 0) first_violation = violation;
    if (violation <= 0.03F * first_violation) break;
  }
}

// What is learned from `some` rows, and going on from there from all; each [features + 1, classes].
struct Separators {
  std::vector<float> of_some, of_all;
};

Separators train_separators(const LabelledRows& data, std::span<const size_t> some,
                            std::span<const size_t> all, size_t features, size_t classes,
                            const LinearClassifier::Options& options) {
  const size_t size = (features + 1) * classes;
  Separators result{std::vector<float>(some.empty() ? 0 : size), std::vector<float>(size)};
  const size_t blocks = (classes + kLanes - 1) / kLanes;
  parallel_for(static_cast<int64_t>(blocks), [&](int64_t block) {
    const size_t first = static_cast<size_t>(block) * kLanes;
    const size_t width = std::min(kLanes, classes - first);
    std::vector<float> weights((features + 1) * kLanes, 0.0F);
    std::vector<float> alpha(data.rows.size() * kLanes, 0.0F);
    const auto learn_from = [&](std::span<const size_t> members, std::vector<float>& out) {
      train_lanes(data, members, first, options, weights, alpha);
      for (size_t row = 0; row <= features; ++row)
        std::copy_n(&weights[row * kLanes], width, &out[row * classes + first]);
    };
    if (!some.empty()) learn_from(some, result.of_some);
    learn_from(all, result.of_all);
  });
  return result;
}

struct EightBits {
  std::vector<int8_t> weights;
  std::vector<float> scales;
};

EightBits in_eight_bits(std::span<const float> weights, size_t classes) {
  constexpr float kMost = 127;
  EightBits out;
  out.weights.reserve(weights.size());
  out.scales.reserve(weights.size() / classes);
  for (size_t row = 0; row < weights.size(); row += classes) {
    float most = 0;
    for (const float w : weights.subspan(row, classes)) most = std::max(most, std::abs(w));
    const float scale = most / kMost;
    out.scales.push_back(scale);
    for (const float w : weights.subspan(row, classes))
      out.weights.push_back(static_cast<int8_t>(scale > 0 ? std::lround(w / scale) : 0));
  }
  return out;
}

double log_sum_exp(std::span<const float> margins, double temperature) {
  const double most = *std::max_element(margins.begin(), margins.end());
  double sum = 0;
  for (const float m : margins) sum += std::exp((m - most) / temperature);
  return most / temperature + std::log(sum);
}

// What makes held-out labels the most probable: a search by golden sections of its logarithm.
double best_temperature(std::span<const std::vector<float>> margins,
                        std::span<const size_t> targets) {
  const auto loss = [&](double log_temperature) {
    const double t = std::exp(log_temperature);
    double sum = 0;
    for (size_t i = 0; i < margins.size(); ++i)
      sum += log_sum_exp(margins[i], t) - margins[i][targets[i]] / t;
    return sum;
  };
  constexpr double kRatio = 0.6180339887498949;
  // Below a tenth even a small margin would be called certain, which few held-out rows can ask for.
  double low = std::log(0.1), high = std::log(5.0);
  double a = high - kRatio * (high - low), b = low + kRatio * (high - low);
  double at_a = loss(a), at_b = loss(b);
  for (int i = 0; i < 30; ++i) {
    if (at_a <= at_b) {
      high = b, b = a, at_b = at_a;
      a = high - kRatio * (high - low), at_a = loss(a);
    } else {
      low = a, a = b, at_a = at_b;
      b = low + kRatio * (high - low), at_b = loss(b);
    }
  }
  return std::exp((low + high) / 2);
}

}  // namespace

LinearClassifier::LinearClassifier(std::span<const std::string> texts,
                                   std::span<const std::string> labels)
    : LinearClassifier(texts, labels, Options{}) {}

LinearClassifier::LinearClassifier(std::span<const std::string> texts,
                                   std::span<const std::string> labels, const Options& options)
    : tfidf_(texts, room_for_features(distinct_labels(texts, labels).size())),
      classes_(distinct_labels(texts, labels)),
      rows_(static_cast<int64_t>(texts.size())),
      learned_from_(options.learned_from) {
  LabelledRows data;
  data.rows.resize(texts.size());
  data.targets.reserve(texts.size());
  parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t row) {
    const auto i = static_cast<size_t>(row);
    data.rows[i] = tfidf_.transform(texts[i]);
    data.rows[i].push_back({static_cast<uint32_t>(tfidf_.features()), 1.0F});
  });
  for (const std::string& label : labels) {
    data.targets.push_back(static_cast<size_t>(
        std::lower_bound(classes_.begin(), classes_.end(), label) - classes_.begin()));
  }
  std::vector<size_t> order(texts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> shuffled = order;
  Rng(options.seed).fork(1).shuffle(shuffled);
  const bool few = texts.size() < kFewRows || classes_.size() == 1;
  const size_t held_out = few ? shuffled.size() : shuffled.size() / kHeldOutEvery;
  const Separators learned = train_separators(data, std::span(shuffled).subspan(held_out), order,
                                              tfidf_.features(), classes_.size(), options);
  const auto keep = [&](std::span<const float> separators) {
    EightBits bits = in_eight_bits(separators, classes_.size());
    weights_ = std::move(bits.weights);
    scales_ = std::move(bits.scales);
  };
  if (!few) {
    keep(learned.of_some);
    std::vector<std::vector<float>> seen;
    std::vector<size_t> targets;
    for (const size_t i : std::span(shuffled).first(held_out)) {
      seen.push_back(margins(data.rows[i]));
      targets.push_back(data.targets[i]);
    }
    temperature_ = best_temperature(seen, targets);
  }
  keep(learned.of_all);
}

// Of a row that ends in the intercept's input.
std::vector<float> LinearClassifier::margins(const SparseVector& row) const {
  std::vector<float> sums(classes_.size(), 0.0F);
  for (const Feature& feature : row) {
    const int8_t* w = weights_.data() + feature.index * classes_.size();
    const float scale = feature.weight * scales_[feature.index];
    for (size_t k = 0; k < sums.size(); ++k) sums[k] += scale * static_cast<float>(w[k]);
  }
  return sums;
}

std::vector<double> LinearClassifier::log_probabilities(std::string_view text) const {
  SparseVector row = tfidf_.transform(text);
  row.push_back({static_cast<uint32_t>(tfidf_.features()), 1.0F});
  const std::vector<float> sums = margins(row);
  const double whole = log_sum_exp(sums, temperature_);
  std::vector<double> logs;
  logs.reserve(sums.size());
  for (const float sum : sums) logs.push_back(sum / temperature_ - whole);
  return logs;
}

const std::string& LinearClassifier::predict(std::string_view text) const {
  const std::vector<double> logs = log_probabilities(text);
  return classes_[static_cast<size_t>(std::max_element(logs.begin(), logs.end()) - logs.begin())];
}

}  // namespace alambic
