// What the table of op cases cannot say of the head loss: its per-row figures, its chunks, its edge
// rows.
#include "alambic/autograd/ops_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "alambic/base/rng.h"

namespace alambic {
namespace {

Tensor gaussian(Shape shape, uint64_t seed) {
  Tensor t = Tensor::empty(std::move(shape));
  Rng rng(seed);
  for (float& x : t.values()) x = static_cast<float>(rng.normal());
  return t;
}

HeadTargets labelled(int64_t rows, int64_t vocab) {
  HeadTargets targets;
  Rng rng(3);
  for (int64_t r = 0; r < rows; ++r) {
    targets.labels.push_back(static_cast<TokenId>(rng.below(static_cast<uint64_t>(vocab))));
    targets.label_weights.push_back(1);
  }
  return targets;
}

// A vocabulary so large that 70 rows take two chunks; each row's figures must be those of the row
// alone.
TEST(HeadLoss, ARowAloneHasTheBitsItHasInABatchOfManyChunks) {
  constexpr int64_t kRows = 70, kVocab = 140001;
  const Tensor hidden = gaussian({kRows, 4}, 1), head = gaussian({kVocab, 4}, 2);
  const HeadTargets all = labelled(kRows, kVocab);
  const HeadLoss batch = head_loss(hidden, head, all, Precision::kFp32);
  double sum = 0;
  for (const int64_t row : {0, 1, 63, 64, 69}) {
    HeadTargets one;
    one.labels = {all.labels[static_cast<size_t>(row)]};
    one.label_weights = {1};
    const Tensor alone = Tensor::from({1, 4}, std::span<const float>(hidden.row(row), 4));
    EXPECT_EQ(head_loss(alone, head, one, Precision::kFp32).cross_entropy[0],
              batch.cross_entropy[static_cast<size_t>(row)])
        << "row " << row;
  }
  for (const float loss : batch.cross_entropy) sum += double{loss};
  EXPECT_NEAR(double{batch.sum.data()[0]}, sum, 1e-6 * sum);
}

TEST(HeadLoss, ChunksAddUpToTheGradientOfTheirHalves) {
  constexpr int64_t kRows = 70, kHalf = 35, kVocab = 140001;
  const HeadTargets all = labelled(kRows, kVocab);
  const auto run = [&](int64_t first, int64_t rows, Tensor& head) {
    Tensor hidden = gaussian({kRows, 4}, 1);
    Tensor part = Tensor::from(
        {rows, 4}, std::span<const float>(hidden.row(first), static_cast<size_t>(rows * 4)));
    part.set_requires_grad(true);
    HeadTargets targets;
    targets.labels.assign(all.labels.begin() + first, all.labels.begin() + first + rows);
    targets.label_weights.assign(static_cast<size_t>(rows), 1.0F);
    backward(head_loss(part, head, targets, Precision::kFp32).sum);
    return part.grad();
  };
  Tensor whole = gaussian({kVocab, 4}, 2), halves = gaussian({kVocab, 4}, 2);
  whole.set_requires_grad(true);
  halves.set_requires_grad(true);
  const Tensor rows = run(0, kRows, whole), first = run(0, kHalf, halves),
               second = run(kHalf, kHalf, halves);
  EXPECT_EQ(0, std::memcmp(rows.row(0), first.row(0), kHalf * 4 * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(rows.row(kHalf), second.row(0), kHalf * 4 * sizeof(float)));
  for (int64_t i = 0; i < whole.size(); ++i) {
    ASSERT_NEAR(whole.grad().data()[i], halves.grad().data()[i], 1e-5) << i;
  }
}

TEST(HeadLoss, RowsOfWeightZeroMayHaveAnyLabel) {
  Tensor hidden = gaussian({3, 5}, 1), head = gaussian({11, 5}, 2);
  hidden.set_requires_grad(true);
  head.set_requires_grad(true);
  HeadTargets targets = labelled(3, 11);
  targets.excluded = 10;
  targets.labels = {1, 10, 2};
  targets.label_weights = {1, 0, 1};
  const HeadLoss loss = head_loss(hidden, head, targets, Precision::kFp32);
  backward(loss.sum);
  EXPECT_NEAR(loss.sum.data()[0], loss.cross_entropy[0] + loss.cross_entropy[2], 1e-5);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(hidden.grad().row(1)[i], 0.0F);
    EXPECT_EQ(head.grad().row(10)[i], 0.0F) << "an excluded token has no gradient";
  }
}

TEST(HeadLoss, ARowIsCorrectWhenItsLabelIsTheMostProbable) {
  const Tensor hidden = Tensor::from({2, 2}, std::vector<float>{1, 0, 0, 1});
  const Tensor head = Tensor::from({3, 2}, std::vector<float>{0, 2, 3, 1, 9, 9});
  HeadTargets targets;
  targets.labels = {1, 1};
  targets.label_weights = {1, 1};
  targets.excluded = 2;
  EXPECT_EQ(head_loss(hidden, head, targets, Precision::kFp32).correct,
            (std::vector<bool>{true, false}));
}

// Rows without a token: as if the head did not have them.
TEST(HeadLoss, TokenlessRowsOfStudentAndTeacherCarryNothing) {
  constexpr int64_t kRows = 4, kVocab = 9, kPadded = 14;
  Tensor hidden = gaussian({kRows, 6}, 1), short_hidden = gaussian({kRows, 6}, 1);
  const Tensor head = gaussian({kPadded, 6}, 2), theirs = gaussian({kPadded, 6}, 3);
  const auto first_rows = [](const Tensor& t) {
    return Tensor::from({kVocab, 6}, std::span<const float>(t.data(), kVocab * 6));
  };
  const std::vector<TokenId> padding{9, 10, 11, 12, 13, 99};
  for (const Divergence kind : {Divergence::kForwardKl, Divergence::kReverseKl, Divergence::kJsd,
                                Divergence::kTotalVariation}) {
    const auto run = [&](Tensor& rows, const Tensor& own, const Tensor& teachers,
                         std::span<const TokenId> tokenless) {
      rows.set_requires_grad(true);
      rows.grad() = Tensor();
      const DenseTeacher teacher{gaussian({kRows, 6}, 5), teachers};
      HeadTargets targets = labelled(kRows, kVocab);
      targets.teacher_weights.assign(kRows, 0.5F);
      targets.dense = &teacher;
      targets.divergence = kind;
      targets.tokenless = tokenless;
      const HeadLoss loss = head_loss(rows, own, targets, Precision::kFp32);
      backward(loss.sum);
      return loss.sum.data()[0];
    };
    const float padded = run(hidden, head, theirs, padding);
    EXPECT_NEAR(padded, run(short_hidden, first_rows(head), first_rows(theirs), {}), 1e-4);
    for (int64_t i = 0; i < hidden.size(); ++i)
      EXPECT_NEAR(hidden.grad().data()[i], short_hidden.grad().data()[i], 1e-5);
  }
}

// KL(p|p) = 0 for every divergence, to rounding, and so is its gradient.
TEST(HeadLoss, AStudentThatIsItsTeacherHasNoDivergence) {
  for (const Divergence kind : {Divergence::kForwardKl, Divergence::kReverseKl, Divergence::kJsd,
                                Divergence::kTotalVariation}) {
    Tensor hidden = gaussian({4, 6}, 1);
    const Tensor head = gaussian({23, 6}, 2);
    const DenseTeacher teacher{hidden.clone(), head, Precision::kFp32};
    hidden.set_requires_grad(true);
    HeadTargets targets = labelled(4, 23);
    targets.label_weights.assign(4, 0.0F);
    targets.teacher_weights.assign(4, 1.0F);
    targets.dense = &teacher;
    targets.divergence = kind;
    targets.temperature = 2;
    const HeadLoss loss = head_loss(hidden, head, targets, Precision::kFp32);
    backward(loss.sum);
    EXPECT_NEAR(loss.sum.data()[0], 0, 1e-5);
    for (const float g : hidden.grad().values()) EXPECT_NEAR(g, 0, 1e-5);
  }
}

// The mean gradient over many sets of draws is the gradient of the whole teacher distribution:
// stored draws are unbiased.
TEST(HeadLoss, DrawsAreUnbiased) {
  constexpr int kVocab = 5, kSets = 20000, kDraws = 4;
  const double teacher[kVocab] = {0.4, 0.3, 0.15, 0.1, 0.05};
  Tensor hidden = Tensor::zeros({kSets, 3});
  const Tensor one = gaussian({1, 3}, 4), head = gaussian({kVocab, 3}, 2);
  SparseTeacher sparse;
  sparse.offsets = {0};
  Rng rng(9);
  for (int s = 0; s < kSets; ++s) {
    std::copy_n(one.data(), 3, hidden.row(s));
    int count[kVocab] = {};
    for (int d = 0; d < kDraws; ++d) {
      double u = rng.uniform();
      int id = 0;
      while (id + 1 < kVocab && u >= teacher[id]) u -= teacher[id++];
      ++count[id];
    }
    for (int id = 0; id < kVocab; ++id) {
      if (count[id] == 0) continue;
      sparse.ids.push_back(id);
      sparse.probabilities.push_back(static_cast<float>(count[id]) / kDraws);
    }
    sparse.offsets.push_back(static_cast<int64_t>(sparse.ids.size()));
    sparse.tails.push_back(0);
  }
  hidden.set_requires_grad(true);
  HeadTargets targets = labelled(kSets, kVocab);
  targets.label_weights.assign(kSets, 0.0F);
  targets.teacher_weights.assign(kSets, 1.0F);
  targets.sparse = &sparse;
  backward(head_loss(hidden, head, targets, Precision::kFp32).sum);
  double q[kVocab], total = 0;
  for (int id = 0; id < kVocab; ++id) {
    q[id] = 0;
    for (int i = 0; i < 3; ++i) q[id] += double{one.data()[i]} * double{head.row(id)[i]};
    total += q[id] = std::exp(q[id]);
  }
  for (int i = 0; i < 3; ++i) {
    double want = 0, mean = 0;
    for (int id = 0; id < kVocab; ++id)
      want += (q[id] / total - teacher[id]) * double{head.row(id)[i]};
    for (int s = 0; s < kSets; ++s) mean += double{hidden.grad().row(s)[i]} / kSets;
    EXPECT_NEAR(mean, want, 0.02);  // four standard errors of the mean
  }
}

}  // namespace
}  // namespace alambic
