#include "alambic/distill/on_policy.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "alambic/base/file.h"
#include "alambic/base/thread_pool.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/prompting.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/hybrid_objective.h"
#include "alambic/models/transformer.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

const std::vector<std::string> kWords = {"one two three", "three four one two", "two of four"};

std::unique_ptr<Transformer> random_student(const Tokenizer& tokenizer, uint64_t seed,
                                            double scale) {
  ModelConfig c;
  c.vocab_size = tokenizer.vocab_size();
  c.dim = 16;
  c.layers = 1;
  c.heads = c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn = 24;
  c.eos = {end_token(tokenizer)};
  c.mask = tokenizer.find(kMaskToken).value_or(-1);
  auto model = std::make_unique<Transformer>(c);
  model->initialise(3);
  Rng rng(seed);
  model->visit([&](Parameter& p) {
    if (p.value.shape().size() == 1) return;
    for (float& w : p.value.values()) w = static_cast<float>(scale * rng.normal());
  });
  return model;
}

// Fails at one of its calls, as a program that is killed does.
class FailingMarker final : public Marker {
 public:
  FailingMarker(Marker& marker, int good_calls) : marker_(marker), good_calls_(good_calls) {}
  int count() const override { return marker_.count(); }
  void mark(std::span<WrittenText> texts, MarkingCost& cost) override {
    if (good_calls_-- == 0) fail(ErrorCode::kInterrupted, "[test] killed");
    marker_.mark(texts, cost);
  }

 private:
  Marker& marker_;
  int good_calls_;
};

class FailingObjective final : public Objective {
 public:
  FailingObjective(const Objective& objective, int good_calls)
      : objective_(objective), good_calls_(good_calls) {}
  Loss evaluate(const LanguageModel& model, const Batch& batch, const RunMode& mode,
                Rng& rng) const override {
    if (good_calls_-- == 0) fail(ErrorCode::kInterrupted, "[test] killed");
    return objective_.evaluate(model, batch, mode, rng);
  }

 private:
  const Objective& objective_;
  mutable int good_calls_;
};

class OnPolicyTest : public testing::Test {
 protected:
  OnPolicyTest()
      : tokenizer_(train_bpe(
            kWords, {.vocab_size = 280, .special_tokens = {kEndToken, kAnswerToken, kMaskToken}})) {
    card_.prompt_template = "{prompt}<|answer|>";
    const Encoder encoder(tokenizer_, card_);
    for (int i = 0; i < 40; ++i) {
      const Example example{.prompt = "say " + std::to_string(i * i)};
      prompts_.push_back({encoder.question(example), example});
    }
    teacher_ = random_student(tokenizer_, 8, 0.3);
    freeze_for_inference(*teacher_, Precision::kFp32);
    marker_ = make_marker(*teacher_, tokenizer_, 1);
    options_.texts = 70;
    options_.max_new_tokens = 12;
    options_.max_tokens = 64;
    options_.precision = Precision::kFp32;
    for (const std::string& line : kWords)
      data_.push_back(
          *encode_example(tokenizer_, card_, {.prompt = "say", .completion = line}, 64));
  }
  ~OnPolicyTest() override { std::filesystem::remove_all(folder_); }

  std::string directory(const std::string& name) {
    make_directories(folder_ + "/" + name);
    return folder_ + "/" + name;
  }
  OnPolicy rounds(const std::string& name, Marker& marker) {
    return {options_, prompts_, marker, tokenizer_, directory(name)};
  }
  std::vector<Sequence> round(const std::string& name, int64_t number, const Transformer& student) {
    return rounds(name, *marker_).round(number, true, student);
  }

  TrainOptions training(const std::string& name, OnPolicy& own) {
    TrainOptions o;
    o.budget.steps = 14;
    o.tokens_per_step = 300;
    o.lr = 3e-3;
    o.warmup = 1;
    o.precision = Precision::kFp32;
    o.fingerprint = "test";
    o.directory = directory(name);
    o.rounds = Rounds{.first = 4,
                      .steps = 5,
                      .texts = [&own](int64_t number, bool begins, const LanguageModel& model) {
                        return own.round(number, begins, model);
                      }};
    return o;
  }
  std::vector<float> weights(Transformer& model) {
    std::vector<float> all;
    model.visit([&](Parameter& p) {
      all.insert(all.end(), p.value.values().begin(), p.value.values().end());
    });
    return all;
  }
  double divergence(const Transformer& student, const std::vector<Sequence>& texts) {
    Batch batch;
    for (const Sequence& s : texts) batch.push_back(&s);
    Rng rng(1);
    const NoGrad no_grad;
    const Loss loss = HybridObjective({}).evaluate(student, batch, {Precision::kFp32, 0, 0}, rng);
    return loss.sum.data()[0] / loss.count;
  }

  Tokenizer tokenizer_;
  ModelCard card_;
  std::vector<OnPolicyPrompt> prompts_;
  std::unique_ptr<Transformer> teacher_;
  std::unique_ptr<Marker> marker_;
  OnPolicyOptions options_;
  std::vector<Sequence> data_;
  int calls_ = 0;
  std::string folder_ =
      std::filesystem::temp_directory_path() / ("alambic_on_policy_" + std::to_string(::getpid()));
};

std::vector<std::vector<TokenId>> texts_of(const std::vector<Sequence>& list) {
  std::vector<std::vector<TokenId>> texts;
  texts.reserve(list.size());
  for (const Sequence& s : list) texts.push_back(s.tokens);
  return texts;
}

TEST_F(OnPolicyTest, EveryTokenThatTheStudentWroteHasAMarkThatListsIt) {
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  const std::vector<Sequence> texts = round("marks", 0, *student);
  ASSERT_EQ(texts.size(), 70U);
  int64_t written = 0, cut = 0;
  for (const Sequence& s : texts) {
    EXPECT_TRUE(s.own);
    ASSERT_EQ(s.signals.size(), s.tokens.size() - static_cast<size_t>(s.prompt_tokens));
    for (size_t i = 0; i < s.signals.size(); ++i) {
      const TokenSignal& signal = s.signals[i];
      EXPECT_EQ(signal.ids.size(), 64U);
      EXPECT_NE(std::find(signal.ids.begin(), signal.ids.end(),
                          s.tokens[static_cast<size_t>(s.prompt_tokens) + i]),
                signal.ids.end());
      double sum = signal.tail;
      for (const float p : signal.probabilities) sum += double{p};
      EXPECT_NEAR(sum, 1, 1e-4);
    }
    written += static_cast<int64_t>(s.signals.size());
    cut += s.tokens.back() != end_token(tokenizer_) ? 1 : 0;
  }
  const OnPolicyCost cost = read_on_policy_cost(directory("marks")).value();
  EXPECT_EQ(cost.rounds, 1);
  EXPECT_EQ(cost.texts, 70);
  EXPECT_EQ(cost.written, written);
  EXPECT_EQ(cost.marked, written);
  EXPECT_EQ(cost.cut, cut);
  EXPECT_GT(cut, 0);
  EXPECT_GT(cost.marking.teacher_tokens, written);  // prompts too
  EXPECT_GT(cost.seconds_writing, 0);
}

TEST_F(OnPolicyTest, TextsDependOnSeedRoundAndWeightsAlone) {
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  const auto second = texts_of(round("after", 1, *student));
  set_thread_count(1);
  const auto first = texts_of(round("before", 0, *student));
  EXPECT_EQ(texts_of(round("before", 1, *student)), second);
  set_thread_count(2);
  EXPECT_NE(first, second);
  options_.seed = 2;
  EXPECT_NE(texts_of(round("seed", 1, *student)), second);
  options_.seed = 1;
  const auto other = random_student(tokenizer_, 10, 0.3);
  freeze_for_inference(*other, Precision::kFp32);
  EXPECT_NE(texts_of(round("weights", 1, *other)), second);
}

TEST_F(OnPolicyTest, AStudentThatIsItsTeacherHasNothingToLearn) {
  const auto gradient = [&](Transformer& student) {
    freeze_for_inference(student, Precision::kFp32);
    const std::vector<Sequence> texts = round("equal" + std::to_string(++calls_), 0, student);
    set_trainable(student, true);
    Batch batch;
    for (const Sequence& s : texts) batch.push_back(&s);
    Rng rng(1);
    backward(HybridObjective({}).evaluate(student, batch, {Precision::kFp32, 0, 0}, rng).sum);
    double squares = 0;
    student.visit([&](Parameter& p) {
      for (const float g : p.value.grad().values()) squares += double{g} * double{g};
    });
    return std::sqrt(squares);
  };
  const auto same = random_student(tokenizer_, 8, 0.3), other = random_student(tokenizer_, 9, 0.3);
  const double unlike = gradient(*other);
  EXPECT_GT(unlike, 1);
  EXPECT_LT(gradient(*same), 1e-3 * unlike);
}

TEST_F(OnPolicyTest, LearningItsMarksBringsTheStudentNearerToItsTeacher) {
  for (const Divergence divergence : {Divergence::kReverseKl, Divergence::kJsd}) {
    const std::string name = "nearer" + std::to_string(static_cast<int>(divergence));
    const auto student = random_student(tokenizer_, 9, 0.1);
    const auto now = [&] {
      freeze_for_inference(*student, Precision::kFp32);
      const double d = this->divergence(*student, round(name + "held", 1000, *student));
      std::filesystem::remove_all(directory(name + "held"));
      return d;
    };
    const double before = now();
    OnPolicy own = rounds(name, *marker_);
    TrainOptions as = training(name, own);
    as.budget.steps = 60;
    as.rounds->first = 0;
    as.lr = 0.01;
    HybridOptions options;
    options.on_policy_divergence = divergence;
    train(*student, HybridObjective(options), data_, {}, as);
    EXPECT_LT(now(), 0.7 * before);
    EXPECT_EQ(read_on_policy_cost(as.directory)->rounds, 12);
  }
}

TEST_F(OnPolicyTest, ATrainingThatWasKilledGoesOnToTheSameBits) {
  const HybridObjective objective({});
  const auto trained = [&](const std::string& name, int calls, int marks, bool resume) {
    const auto student = random_student(tokenizer_, 9, 0.3);
    FailingMarker marker(*marker_, marks);
    OnPolicy own = rounds(name, marker);
    TrainOptions as = training(name, own);
    as.resume = resume;
    as.checkpoint_seconds = name.starts_with("often") ? 0 : 1000;
    train(*student, FailingObjective(objective, calls), data_, {}, as);
    return weights(*student);
  };
  constexpr int kNever = 1000000;
  const std::vector<float> whole = trained("whole", kNever, kNever, false);
  // Before the texts, between steps of a round, and with a part of a round's texts written.
  for (const char* often : {"often", "seldom"}) {
    for (const auto& [calls, marks] :
         {std::pair(2, kNever), {6, kNever}, {9, kNever}, {11, kNever}, {kNever, 1}, {kNever, 3}}) {
      const std::string name = fmt::format("{}-{}-{}", often, calls, marks);
      set_thread_count(1);
      EXPECT_THROW(trained(name, calls, marks, false), Error);
      set_thread_count(2);
      EXPECT_EQ(trained(name, kNever, kNever, true), whole) << name;
    }
  }
}

TEST_F(OnPolicyTest, ARoundThatLostItsTextsIsOneClearLine) {
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  OnPolicy own = rounds("lost", *marker_);
  own.round(3, true, *student);
  remove_on_policy_files(directory("lost"));
  try {
    own.round(3, false, *student);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("round 3"), std::string::npos);
  }
}

// As a kill leaves it that falls between the making of a store and its header.
TEST_F(OnPolicyTest, AnEmptyStoreIsWrittenAnew) {
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  OnPolicy whole = rounds("whole-store", *marker_), empty = rounds("empty-store", *marker_);
  std::filesystem::create_directories(directory("empty-store"));
  std::ofstream(directory("empty-store") + "/on_policy.sqlite").flush();
  const std::vector<Sequence> wanted = whole.round(0, true, *student);
  const std::vector<Sequence> got = empty.round(0, true, *student);
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].tokens, wanted[i].tokens);
}

TEST_F(OnPolicyTest, WantsAPromptThatLeavesRoomForAnAnswer) {
  options_.max_tokens = 3;
  EXPECT_THROW(rounds("room", *marker_), Error);
}

// By bytes, a teacher with the very tokens of the student says what it says of them directly.
TEST_F(OnPolicyTest, MarksByBytesAreThoseOfTheTokensWhereBothAreTheSame) {
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  const std::vector<Sequence> direct = round("direct", 0, *student);
  marker_ = make_marker(*teacher_, tokenizer_, card_, tokenizer_, 1);
  const std::vector<Sequence> by_bytes = round("bytes", 0, *student);
  EXPECT_EQ(texts_of(by_bytes), texts_of(direct));
  int64_t compared = 0;
  for (size_t i = 0; i < direct.size(); ++i) {
    for (size_t t = 0; t < direct[i].signals.size(); ++t) {
      const TokenSignal &a = direct[i].signals[t], &b = by_bytes[i].signals[t];
      if (b.ids != a.ids) continue;
      for (size_t k = 0; k < a.ids.size(); ++k)
        EXPECT_NEAR(a.probabilities[k], b.probabilities[k], 1e-3);
      ++compared;
    }
  }
  EXPECT_GT(compared, 10);
}

// Of tokens of its own, where both begin one at the same byte.
TEST_F(OnPolicyTest, ATeacherWithTokensOfItsOwnMarksByBytes) {
  const Tokenizer bytes =
      train_bpe(kWords, {.vocab_size = 262, .special_tokens = {kEndToken, kAnswerToken}});
  const auto teacher = random_student(bytes, 8, 0.3);
  freeze_for_inference(*teacher, Precision::kFp32);
  const auto student = random_student(tokenizer_, 9, 0.3);
  freeze_for_inference(*student, Precision::kFp32);
  marker_ = make_marker(*teacher, bytes, card_, tokenizer_, 1);
  const std::vector<Sequence> texts = round("other", 0, *student);
  const OnPolicyCost cost = read_on_policy_cost(directory("other")).value();
  EXPECT_GT(cost.marked, cost.written / 4);
  for (const Sequence& s : texts) {
    for (size_t i = 0; i < s.signals.size(); ++i)
      EXPECT_EQ(s.learned[i], !s.signals[i].ids.empty());
  }
}

}  // namespace
}  // namespace alambic
