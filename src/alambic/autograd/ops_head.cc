#include "alambic/autograd/ops_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "alambic/autograd/linear_gradients.h"
#include "alambic/base/error.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

constexpr int64_t kChunkFloats = int64_t{1} << 23;  // logits held at once: 32 MiB
constexpr float kTiny = 1e-30F;

std::vector<float>& scratch(int slot, int64_t floats) {
  thread_local std::vector<float> buffers[2];
  auto& buffer = buffers[slot];
  if (buffer.size() < static_cast<size_t>(floats)) buffer.resize(static_cast<size_t>(floats));
  return buffer;
}

// One category of the divergence: its value, and the slope dD/dq up to a constant that cancels.
struct Term {
  float value, slope;
};

// `log_p`, `log_q` are finite or -inf.
Term term(const HeadTargets& t, float p, float log_p, float q, float log_q) {
  switch (t.divergence) {
    case Divergence::kForwardKl:
      return {p > 0 ? p * (log_p - log_q) : 0.0F, q > kTiny ? -p / q : 0.0F};
    case Divergence::kReverseKl: {
      const float ratio = log_q - std::max(log_p, -69.0F);  // p = 0 would cost infinitely much
      return {q > 0 ? q * ratio : 0.0F, q > 0 ? ratio : 0.0F};
    }
    case Divergence::kJsd: {
      const float m = t.beta * p + (1 - t.beta) * q;
      if (m <= kTiny) return {0, 0};
      const float log_m = std::log(m);
      const float from_q = q > 0 ? log_q - log_m : 0.0F;
      return {(p > 0 ? t.beta * p * (log_p - log_m) : 0.0F) +
                  (q > 0 ? (1 - t.beta) * q * from_q : 0.0F),
              (1 - t.beta) * from_q};
    }
    case Divergence::kTotalVariation:
      return {0.5F * std::abs(p - q), q > p ? 0.5F : -0.5F};
  }
  return {0, 0};
}

// The same for a probability that was rounded where it is stored: the total variation has no slope
// where both sides are equal but for that.
Term stored_term(const HeadTargets& t, float p, float q, float log_q) {
  Term c = term(t, p, std::log(std::max(p, kTiny)), q, log_q);
  const float same = kSameProbability * (p + q);
  if (t.divergence == Divergence::kTotalVariation)
    c.slope = same > kTiny ? 0.5F * std::clamp((q - p) / same, -1.0F, 1.0F) : 0.0F;
  return c;
}

// A student row at the divergence's temperature.
struct StudentRow {
  const float* q;       // probabilities
  const float* logits;  // raw
  float inv_t, log_z;   // log q_j = logits_j * inv_t - log_z
  int64_t vocab;
  float log_q(int64_t j) const { return logits[j] * inv_t - log_z; }
};

// Adds weight * dD/dlogits to `gradient` and returns D, for a teacher row of probabilities p over
// the whole vocabulary.
float dense_divergence(const HeadTargets& t, const StudentRow& s, const float* p,
                       const float* teacher_logits, float teacher_log_z, int64_t teacher_vocab,
                       float weight, float* gradient) {
  const auto& kernel = kernels::kernels();
  const int64_t common = std::min(s.vocab, teacher_vocab);
  double value = 0, mean = 0;
  if (t.divergence == Divergence::kForwardKl) {
    for (int64_t j = 0; j < common; ++j) {
      if (p[j] > kTiny && s.q[j] > 0) {
        value += p[j] * ((teacher_logits[j] * s.inv_t - teacher_log_z) - s.log_q(j));
      }
    }
    kernel.axpy(weight, s.q, s.vocab, gradient);
    kernel.axpy(-weight, p, common, gradient);
    return static_cast<float>(value);
  }
  std::vector<float>& slopes = scratch(1, s.vocab);
  for (int64_t j = 0; j < s.vocab; ++j) {
    const float pj = j < common ? p[j] : 0.0F;
    const float log_p = j < common ? teacher_logits[j] * s.inv_t - teacher_log_z
                                   : -std::numeric_limits<float>::infinity();
    // At q = 0 a divergence has no slope to give; a distance still has a value.
    const Term c = s.q[j] > 0 || t.divergence == Divergence::kTotalVariation
                       ? term(t, pj, log_p, s.q[j], s.log_q(j))
                       : Term{0, 0};
    slopes[j] = c.slope;
    value += c.value;
    mean += s.q[j] * c.slope;
  }
  for (int64_t j = 0; j < s.vocab; ++j) {
    gradient[j] += weight * s.q[j] * (slopes[j] - static_cast<float>(mean));
  }
  return static_cast<float>(value);
}

// The same for a sparse row: its ids are categories, all other tokens together are one more.
float sparse_divergence(const HeadTargets& t, const StudentRow& s, int64_t row, float weight,
                        float* gradient) {
  const SparseTeacher& teacher = *t.sparse;
  const int64_t begin = teacher.offsets[row], end = teacher.offsets[row + 1];
  double covered = 0;
  for (int64_t i = begin; i < end; ++i) covered += s.q[teacher.ids[i]];
  const auto q_tail = static_cast<float>(std::max(1e-9, 1 - covered));
  const float p_tail = std::max(0.0F, teacher.tails[row]);
  const Term tail = stored_term(t, p_tail, q_tail, std::log(q_tail));
  double value = tail.value, mean = q_tail * tail.slope;
  std::vector<float>& slopes = scratch(1, end - begin);
  for (int64_t i = begin; i < end; ++i) {
    const TokenId id = teacher.ids[i];
    const float p = teacher.probabilities[i];
    const Term c = s.q[id] > 0 || t.divergence == Divergence::kTotalVariation
                       ? stored_term(t, p, s.q[id], s.log_q(id))
                       : Term{0, 0};
    slopes[i - begin] = c.slope;
    value += c.value;
    mean += s.q[id] * c.slope;
  }
  const float rest = weight * (tail.slope - static_cast<float>(mean));
  kernels::kernels().axpy(rest, s.q, s.vocab, gradient);
  for (int64_t i = begin; i < end; ++i) {
    gradient[teacher.ids[i]] += weight * s.q[teacher.ids[i]] * (slopes[i - begin] - tail.slope);
  }
  return static_cast<float>(value);
}

class HeadPass {
 public:
  HeadPass(const Tensor& hidden, const Tensor& head, const HeadTargets& targets,
           Precision precision, const Tensor& bias, bool train)
      : hidden_(hidden),
        head_(head),
        bias_(bias),
        targets_(targets),
        precision_(precision),
        train_(train) {
    const int64_t rows = hidden.rows();
    ALAMBIC_CHECK(targets.labels.size() == static_cast<size_t>(rows));
    ALAMBIC_CHECK(targets.label_weights.size() == static_cast<size_t>(rows));
    result_.cross_entropy.resize(static_cast<size_t>(rows));
    result_.divergence.resize(static_cast<size_t>(rows));
    result_.certainty.resize(static_cast<size_t>(rows));
    correct_.resize(static_cast<size_t>(rows));
  }

  HeadLoss run() {
    const int64_t rows = hidden_.rows(), vocab = head_.rows();
    const int64_t step = rows == 0 ? 1 : head_chunk_rows(rows, vocab);
    const auto dim = static_cast<int>(head_.cols());
    const bool keep = head_.packed() != nullptr && head_.packed()->serves(precision_);
    std::optional<PackedMatrix> own_forward, backward, teacher_forward;
    if (!keep)
      own_forward.emplace(view_transposed(head_), dim, static_cast<int>(vocab), precision_);
    const PackedMatrix& forward = keep ? *head_.packed() : *own_forward;
    if (train_ && hidden_.requires_grad()) {
      backward.emplace(view(floats_of(head_)), static_cast<int>(vocab), dim, precision_);
      hidden_gradient_ = Tensor::empty(hidden_.shape());
    }
    Tensor teacher_logits;
    if (targets_.dense != nullptr) {
      const Tensor& t = targets_.dense->head;
      teacher_forward.emplace(view_transposed(t), static_cast<int>(t.cols()),
                              static_cast<int>(t.rows()), targets_.dense->precision);
      teacher_logits = Tensor::empty({step, t.rows()});
    }
    Tensor logits = Tensor::empty({step, vocab});
    for (int64_t first = 0; first < rows; first += step) {
      const auto m = static_cast<int>(std::min(step, rows - first));
      product(m, view_from_row(hidden_, first), forward, logits.data(), vocab, false);
      if (targets_.dense != nullptr) {
        product(m, view_from_row(targets_.dense->hidden, first), *teacher_forward,
                teacher_logits.data(), teacher_logits.cols(), false);
      }
      parallel_rows(m, 4, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          add_bias(bias_, logits.row(r));
          if (targets_.dense != nullptr) add_bias(targets_.dense->bias, teacher_logits.row(r));
          row(first + r, logits.row(r),
              targets_.dense != nullptr ? teacher_logits.row(r) : nullptr);
        }
      });
      if (train_) accumulate(first, m, logits, backward ? &*backward : nullptr);
    }
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += weighted(r);
    result_.correct.assign(correct_.begin(), correct_.end());
    result_.sum = Tensor::from({1}, std::vector<float>{static_cast<float>(sum)});
    return std::move(result_);
  }
  Tensor hidden_gradient() const { return hidden_gradient_; }

 private:
  static void add_bias(const Tensor& bias, float* logits) {
    if (bias.defined()) kernels::kernels().axpy(1.0F, bias.data(), bias.size(), logits);
  }
  float teacher_weight(int64_t r) const {
    return targets_.teacher_weights.empty() ? 0.0F : targets_.teacher_weights[r];
  }
  float certainty_weight(int64_t r) const {
    return targets_.certainty_weights.empty() ? 0.0F : targets_.certainty_weights[r];
  }
  double weighted(int64_t r) const {
    const double t = targets_.temperature;
    // A row of weight 0 may have any label, the excluded token included, whose loss is infinite.
    const double label = targets_.label_weights[r] != 0
                             ? double{targets_.label_weights[r]} * result_.cross_entropy[r]
                             : 0.0;
    return label + double{teacher_weight(r)} * t * t * result_.divergence[r] +
           double{certainty_weight(r)} * result_.certainty[r];
  }

  static void silence(std::span<const TokenId> ids, float* logits, int64_t vocab) {
    for (const TokenId id : ids) {
      if (id >= 0 && id < vocab) logits[id] = -std::numeric_limits<float>::infinity();
    }
  }

  // Turns a row of logits into the row of their gradient.
  void row(int64_t r, float* logits, float* teacher_logits) {
    const auto& kernel = kernels::kernels();
    const int64_t vocab = head_.rows();
    silence({&targets_.excluded, 1}, logits, vocab);
    silence(targets_.tokenless, logits, vocab);
    const float shift = kernel.max(logits, vocab);
    std::vector<float>& gradient_row = scratch(0, 2 * vocab);
    float* gradient = gradient_row.data();
    float* q = gradient + vocab;
    const float sum = kernel.exp_sum(logits, shift, 1.0F, vocab, q);
    const TokenId label = targets_.labels[r];
    result_.cross_entropy[r] = shift + std::log(sum) - logits[label];
    correct_[r] = kernel.argmax(logits, vocab) == label ? 1 : 0;
    kernel.scale(1 / sum, vocab, q);
    std::fill_n(gradient, vocab, 0.0F);
    if (train_ && targets_.label_weights[r] != 0) {
      kernel.axpy(targets_.label_weights[r], q, vocab, gradient);
      gradient[label] -= targets_.label_weights[r];
    }
    if (teacher_weight(r) != 0) teach(r, logits, teacher_logits, shift, sum, q, gradient);
    if (certainty_weight(r) != 0 && correct_[r] != 0) settle(r, logits, shift, q, gradient);
    if (train_) std::copy_n(gradient, vocab, logits);
  }

  void teach(int64_t r, const float* logits, float* teacher_logits, float shift, float sum,
             float* q, float* gradient) {
    const auto& kernel = kernels::kernels();
    const float t = targets_.temperature;
    const int64_t vocab = head_.rows();
    StudentRow student{q, logits, 1 / t, shift / t + std::log(sum), vocab};
    if (t != 1) {
      const float sum_t = kernel.exp_sum(logits, shift, 1 / t, vocab, q);
      kernel.scale(1 / sum_t, vocab, q);
      student.log_z = shift / t + std::log(sum_t);
    }
    const float weight = teacher_weight(r) * t;  // T² of the loss times 1/T of the chain rule
    if (targets_.dense == nullptr) {
      result_.divergence[r] = sparse_divergence(targets_, student, r, weight, gradient);
      return;
    }
    const int64_t teacher_vocab = targets_.dense->head.rows();
    silence({&targets_.excluded, 1}, teacher_logits, teacher_vocab);
    silence(targets_.tokenless, teacher_logits, teacher_vocab);
    silence(targets_.dense->tokenless, teacher_logits, teacher_vocab);
    const int64_t common = std::min(vocab, teacher_vocab);
    thread_local std::vector<float> p;
    if (p.size() < static_cast<size_t>(common)) p.resize(static_cast<size_t>(common));
    const float teacher_shift = kernel.max(teacher_logits, common);
    const float teacher_sum =
        kernel.exp_sum(teacher_logits, teacher_shift, 1 / t, common, p.data());
    kernel.scale(1 / teacher_sum, common, p.data());
    result_.divergence[r] =
        dense_divergence(targets_, student, p.data(), teacher_logits,
                         teacher_shift / t + std::log(teacher_sum), common, weight, gradient);
  }

  // dH/dlogit = -q (log q + H) / T
  void settle(int64_t r, const float* logits, float shift, float* q, float* gradient) {
    constexpr float kInverse = 1 / kCertaintyTemperature;
    const int64_t vocab = head_.rows();
    const float sum = kernels::kernels().exp_sum(logits, shift, kInverse, vocab, q);
    const float log_z = shift * kInverse + std::log(sum);
    const auto log_q = [&](int64_t j) { return logits[j] * kInverse - log_z; };
    double entropy = 0;
    for (int64_t j = 0; j < vocab; ++j) {
      q[j] /= sum;
      if (q[j] > 0) entropy -= q[j] * log_q(j);
    }
    result_.certainty[r] = static_cast<float>(entropy);
    const float weight = certainty_weight(r) * kInverse;
    for (int64_t j = 0; j < vocab; ++j) {
      if (q[j] > 0) gradient[j] -= weight * q[j] * (log_q(j) + result_.certainty[r]);
    }
  }

  // gradient rows [first, first + m) into the hidden rows' and the head's gradients
  void accumulate(int64_t first, int m, const Tensor& gradient, const PackedMatrix* backward) {
    const int64_t vocab = head_.rows(), dim = head_.cols();
    if (backward != nullptr) {
      product(m, view(gradient), *backward, hidden_gradient_.row(first), dim, false);
    }
    if (bias_.requires_grad()) {
      const auto [sink, add] = bias_.grad_sink();
      if (!add) std::fill_n(sink, vocab, 0.0F);
      for (int r = 0; r < m; ++r) kernels::kernels().axpy(1.0F, gradient.row(r), vocab, sink);
    }
    if (!head_.requires_grad()) return;
    const auto [sink, add] = head_.grad_sink();
    product({static_cast<int>(vocab), static_cast<int>(dim), m, precision_, add},
            view_transposed(gradient), view_from_row(hidden_, first), sink, dim);
  }

  Tensor hidden_, head_, bias_;
  const HeadTargets& targets_;
  Precision precision_;
  bool train_;
  HeadLoss result_;
  std::vector<uint8_t> correct_;  // written by many threads, so no vector<bool>
  Tensor hidden_gradient_;
};

}  // namespace

int64_t head_chunk_rows(int64_t rows, int64_t vocab) {
  return std::min(rows, std::max<int64_t>(64, kChunkFloats / vocab / 8 * 8));
}

HeadLoss head_loss(const Tensor& hidden, const Tensor& head, const HeadTargets& targets,
                   Precision precision, const Tensor& bias) {
  const bool train = recording({&hidden, &head, &bias});
  HeadPass pass(hidden, head, targets, precision, bias, train);
  HeadLoss loss = pass.run();
  loss.sum =
      record(loss.sum, {hidden, head}, [hidden, gradient = pass.hidden_gradient()](const Tensor&) {
        if (gradient.defined()) pass_gradient(hidden, gradient);
      });
  return loss;
}

void head_summaries(const Tensor& hidden, const Tensor& head, const Tensor& bias,
                    Precision precision, const CountedColumns& columns, std::span<RowSummary> out) {
  ALAMBIC_CHECK(static_cast<int64_t>(out.size()) == hidden.rows());
  summarise_product(static_cast<int>(hidden.rows()), {view(hidden)}, *panels_of(head, precision),
                    bias.defined() ? bias.data() : nullptr, columns, out.data());
}

}  // namespace alambic
