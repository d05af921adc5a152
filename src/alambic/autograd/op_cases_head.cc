// The head-loss cases: every divergence, from dense and from stored teachers, against the formulas
// of ops_head.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "alambic/autograd/op_cases.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/rng.h"

namespace alambic {
namespace {

enum class TeacherKind { kNone, kDense, kDraws, kTopK };

struct HeadShape {
  int64_t rows, dim, vocab, teacher_vocab;
};

struct HeadSetting {
  TeacherKind teacher = TeacherKind::kNone;
  Divergence divergence = Divergence::kForwardKl;
  float temperature = 1;
  TokenId excluded = -1;
  Precision precision = Precision::kFp32;
  bool bias = false;
  bool certainty = false;
};

// Everything a head loss reads but the two inputs that are differentiated.
struct Fixture {
  HeadTargets targets;
  SparseTeacher sparse;
  DenseTeacher dense;
};

Tensor gaussian(Shape shape, Rng& rng) {
  Tensor t = Tensor::empty(shape);
  for (float& x : t.values()) x = static_cast<float>(0.5 * rng.normal());
  return t;
}

// Five distinct ids a row: draws say how often each was drawn out of twelve, top-k leaves a tail.
SparseTeacher stored_rows(const HeadShape& shape, const HeadSetting& setting, Rng& rng) {
  constexpr int kIds = 5;
  constexpr float kDraws[kIds] = {5, 3, 2, 1, 1}, kTop[kIds] = {0.4F, 0.2F, 0.1F, 0.05F, 0.01F};
  SparseTeacher teacher;
  teacher.offsets.push_back(0);
  for (int64_t r = 0; r < shape.rows; ++r) {
    std::vector<TokenId> ids;
    while (ids.size() < kIds) {
      const auto id = static_cast<TokenId>(rng.below(static_cast<uint64_t>(shape.vocab)));
      if (id != setting.excluded && std::find(ids.begin(), ids.end(), id) == ids.end())
        ids.push_back(id);
    }
    const bool draws = setting.teacher == TeacherKind::kDraws;
    for (int i = 0; i < kIds; ++i)
      teacher.probabilities.push_back(draws ? kDraws[i] / 12 : kTop[i]);
    teacher.ids.insert(teacher.ids.end(), ids.begin(), ids.end());
    teacher.offsets.push_back(static_cast<int64_t>(teacher.ids.size()));
    teacher.tails.push_back(draws ? 0.0F : 0.24F);
  }
  return teacher;
}

std::shared_ptr<const Fixture> make_fixture(const HeadShape& shape, const HeadSetting& setting) {
  auto fixture = std::make_shared<Fixture>();
  HeadTargets& targets = fixture->targets;
  Rng rng(5, static_cast<uint64_t>(shape.rows));
  for (int64_t r = 0; r < shape.rows; ++r) {
    auto label = static_cast<TokenId>(rng.below(static_cast<uint64_t>(shape.vocab)));
    if (label == setting.excluded) label = 0;
    targets.labels.push_back(label);
    targets.label_weights.push_back(r % 4 == 3 ? 0.0F : 0.5F + static_cast<float>(rng.uniform()));
    if (setting.teacher != TeacherKind::kNone)
      targets.teacher_weights.push_back(r % 5 == 1 ? 0.0F : 0.7F);
    if (setting.certainty) targets.certainty_weights.push_back(r % 3 == 2 ? 0.0F : 1.7F);
  }
  targets.divergence = setting.divergence;
  targets.beta = 0.3F;
  targets.temperature = setting.temperature;
  targets.excluded = setting.excluded;
  if (setting.teacher == TeacherKind::kDense) {
    const int64_t teacher_dim = shape.dim + 3;
    fixture->dense = {gaussian({shape.rows, teacher_dim}, rng),
                      gaussian({shape.teacher_vocab, teacher_dim}, rng), Precision::kFp32,
                      setting.bias ? gaussian({shape.teacher_vocab}, rng) : Tensor()};
    targets.dense = &fixture->dense;
  } else if (setting.teacher != TeacherKind::kNone) {
    fixture->sparse = stored_rows(shape, setting, rng);
    targets.sparse = &fixture->sparse;
  }
  return fixture;
}

// log softmax(logits / temperature), -inf at the excluded id.
Doubles log_softmax(Doubles logits, double temperature, TokenId excluded) {
  double total = 0;
  for (size_t j = 0; j < logits.size(); ++j) {
    logits[j] = static_cast<TokenId>(j) == excluded ? -HUGE_VAL : logits[j] / temperature;
    total += std::exp(logits[j]);
  }
  for (double& x : logits) x -= std::log(total);
  return logits;
}

double divergence(const HeadTargets& t, const Doubles& log_p, const Doubles& log_q) {
  // x log(x / y), where x = 0 costs nothing
  const auto kl = [](double log_x, double log_y) {
    return std::isinf(log_x) ? 0.0 : std::exp(log_x) * (log_x - log_y);
  };
  const double beta = double{t.beta};
  double sum = 0;
  for (size_t j = 0; j < log_q.size(); ++j) {
    if (std::isinf(log_p[j]) && std::isinf(log_q[j])) continue;
    const double log_m = std::log(beta * std::exp(log_p[j]) + (1 - beta) * std::exp(log_q[j]));
    switch (t.divergence) {
      case Divergence::kForwardKl:
        sum += kl(log_p[j], log_q[j]);
        break;
      case Divergence::kReverseKl:
        sum += kl(log_q[j], log_p[j]);
        break;
      case Divergence::kJsd:
        sum += beta * kl(log_p[j], log_m) + (1 - beta) * kl(log_q[j], log_m);
        break;
      case Divergence::kTotalVariation:
        sum += std::max(0.0, std::exp(log_p[j]) - std::exp(log_q[j]));
        break;
    }
  }
  return sum;
}

Doubles logits_of(const Doubles& hidden, const Doubles& head, int64_t dim, int64_t row,
                  const Doubles& bias = {}) {
  Doubles logits = bias;
  logits.resize(head.size() / static_cast<size_t>(dim));
  for (size_t j = 0; j < logits.size(); ++j) {
    for (int64_t i = 0; i < dim; ++i) logits[j] += hidden[row * dim + i] * head[j * dim + i];
  }
  return logits;
}

Doubles as_doubles(const Tensor& t) { return {t.values().begin(), t.values().end()}; }

// The teacher's and the student's log probabilities over the categories that a row compares.
std::pair<Doubles, Doubles> categories(const Fixture& f, int64_t row, const Doubles& log_q) {
  const HeadTargets& t = f.targets;
  if (t.dense != nullptr) {
    Doubles logits =
        logits_of(as_doubles(f.dense.hidden), as_doubles(f.dense.head), f.dense.head.cols(), row,
                  f.dense.bias.defined() ? as_doubles(f.dense.bias) : Doubles());
    logits.resize(std::min(logits.size(), log_q.size()));
    Doubles log_p = log_softmax(std::move(logits), double{t.temperature}, t.excluded);
    log_p.resize(log_q.size(), -HUGE_VAL);
    return {log_p, log_q};
  }
  Doubles log_p, log_listed;
  double covered = 0;
  for (int64_t i = f.sparse.offsets[row]; i < f.sparse.offsets[row + 1]; ++i) {
    log_p.push_back(std::log(double{f.sparse.probabilities[i]}));
    log_listed.push_back(log_q[f.sparse.ids[i]]);
    covered += std::exp(log_listed.back());
  }
  log_p.push_back(std::log(double{f.sparse.tails[row]}));
  log_listed.push_back(std::log(1 - covered));
  return {log_p, log_listed};
}

Doubles reference(const Fixture& f, int64_t dim, const Doubles& hidden, const Doubles& head,
                  const Doubles& bias) {
  const HeadTargets& t = f.targets;
  double sum = 0;
  for (size_t r = 0; r < t.labels.size(); ++r) {
    const auto row = static_cast<int64_t>(r);
    const Doubles logits = logits_of(hidden, head, dim, row, bias);
    sum -= double{t.label_weights[r]} * log_softmax(logits, 1, t.excluded)[t.labels[r]];
    const bool right = std::max_element(logits.begin(), logits.end()) - logits.begin() ==
                       std::ptrdiff_t{t.labels[r]};
    if (!t.certainty_weights.empty() && right) {
      for (const double x : log_softmax(logits, double{kCertaintyTemperature}, t.excluded))
        sum -= double{t.certainty_weights[r]} * std::exp(x) * x;
    }
    if (t.teacher_weights.empty() || t.teacher_weights[r] == 0) continue;
    const auto [log_p, log_q] =
        categories(f, row, log_softmax(logits, double{t.temperature}, t.excluded));
    sum += double{t.teacher_weights[r]} * double{t.temperature} * double{t.temperature} *
           divergence(t, log_p, log_q);
  }
  return {sum};
}

OpCase head_case(const std::string& name, const HeadShape& shape, const HeadSetting& setting) {
  const std::shared_ptr<const Fixture> fixture = make_fixture(shape, setting);
  OpCase op{.name = "head_loss/" + name,
            .inputs = {{shape.rows, shape.dim}, {shape.vocab, shape.dim}},
            .run =
                [=](const std::vector<Tensor>& in) {
                  return head_loss(in[0], in[1], fixture->targets, setting.precision,
                                   setting.bias ? in[2] : Tensor())
                      .sum;
                },
            .reference =
                [=](const std::vector<Doubles>& in) {
                  return reference(*fixture, shape.dim, in[0], in[1],
                                   setting.bias ? in[2] : Doubles());
                },
            .flops = 2.0 * static_cast<double>(shape.rows * shape.dim * shape.vocab)};
  if (setting.bias) op.inputs.push_back({shape.vocab});
  // |p - q| has a kink where they meet: a probability that lies there may be counted on either
  // side.
  if (setting.divergence == Divergence::kTotalVariation) op.gradient_tolerance = 5e-3;
  if (setting.precision == Precision::kBf16) op.tolerance = op.gradient_tolerance = 0.01;
  return op;
}

}  // namespace

void add_head_cases(std::vector<OpCase>& table) {
  const HeadShape small{13, 9, 41, 41}, unequal{13, 9, 41, 37};
  table.push_back(head_case("labels", small, {}));
  table.push_back(head_case("labels/excluded", small, {.excluded = 40}));
  table.push_back(head_case("labels/bf16", small, {.precision = Precision::kBf16}));
  table.push_back(head_case("labels/bias", small, {.bias = true}));
  table.push_back(head_case("dense/bias", small, {.teacher = TeacherKind::kDense, .bias = true}));
  const std::pair<const char*, Divergence> kinds[] = {{"forward", Divergence::kForwardKl},
                                                      {"reverse", Divergence::kReverseKl},
                                                      {"jsd", Divergence::kJsd},
                                                      {"tv", Divergence::kTotalVariation}};
  for (const auto& [name, kind] : kinds) {
    // Total variation has a kink where p = q: few categories, that no difference steps over one.
    const HeadShape shape = kind == Divergence::kTotalVariation ? HeadShape{7, 9, 19, 19} : small;
    for (const float t : {1.0F, 2.0F}) {
      for (const TokenId excluded : {-1, 17}) {
        const std::string tail = fmt::format("{}/T{}{}", name, t, excluded >= 0 ? "/excluded" : "");
        table.push_back(
            head_case("dense/" + tail, shape, {TeacherKind::kDense, kind, t, excluded}));
        table.push_back(head_case("top_k/" + tail, shape, {TeacherKind::kTopK, kind, t, excluded}));
      }
    }
  }
  // Of few tokens, so that some labels are the most probable ones.
  const HeadShape few{24, 9, 4, 4};
  table.push_back(head_case("certainty", few, {.certainty = true}));
  table.push_back(head_case("certainty/dense/tv", few,
                            {.teacher = TeacherKind::kDense,
                             .divergence = Divergence::kTotalVariation,
                             .certainty = true}));
  table.push_back(head_case("draws/forward", small, {TeacherKind::kDraws}));
  table.push_back(head_case("draws/jsd", small, {TeacherKind::kDraws, Divergence::kJsd}));
  table.push_back(head_case("dense/smaller_teacher/forward", unequal, {TeacherKind::kDense}));
  table.push_back(
      head_case("dense/smaller_teacher/jsd", unequal, {TeacherKind::kDense, Divergence::kJsd}));
  table.push_back(head_case("dense/larger_teacher/reverse", {13, 9, 41, 50},
                            {TeacherKind::kDense, Divergence::kReverseKl}));
  const HeadShape large{2048, 288, 32000, 32000};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    table.push_back(head_case(precision == Precision::kFp32 ? "train" : "train/bf16", large,
                              {.precision = precision}));
    table.back().timed = true;
  }
  table.push_back(head_case("train/draws/bf16", large,
                            {.teacher = TeacherKind::kDraws, .precision = Precision::kBf16}));
  table.back().timed = true;
}

}  // namespace alambic
