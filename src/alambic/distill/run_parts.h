// The pieces that a run is made of, private to this room.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "alambic/data/contamination.h"
#include "alambic/data/left_out.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/endpoint_protocol.h"
#include "alambic/distill/on_policy.h"
#include "alambic/distill/run.h"
#include "alambic/models/hf_directory.h"
#include "alambic/train/trainer.h"

namespace alambic {

// A model of a run: as it is on disk, frozen for inference.
struct RunModel {
  std::string name;
  std::unique_ptr<Transformer> model;  // null for a teacher behind an endpoint
  ModelCard card;
  int64_t bytes = 0;
  std::vector<CurvePoint> curve;                         // empty where it was not trained here
  std::optional<OnPolicyCost> on_policy = std::nullopt;  // of a student that wrote texts of its own
  // Of a teacher: what it is told beside each question, and findings for the report.
  Telling telling = {};
  std::vector<std::string> notes = {};
};

struct RunTokenizers {
  Tokenizer teacher;
  Tokenizer student;  // with a mask token where drafts are trained
  bool same = true;   // the student's ids are the teacher's
};

// The time of each phase, for the report.
using Phases = std::vector<std::pair<std::string, double>>;

// Keeps in the run directory which rows a run is trained on. kInvalidArgument where it goes on and
// they are others: a new test file may take rows out of the training data.
void keep_training_rows(const RunData& data, const RunOptions& options);
ModelCard run_card(const Recipe& recipe, const RunData& data);
// Gives the card the template that the recipe names for who is asked as `model` is ("": made by
// this run); where it names none, that of the model.
void use_recipe_chat_template(const Recipe& recipe, const std::string& model, ModelCard& card);
// The model whose prompts are those of the run; "" for one that it makes.
const std::string& asked_model(const Recipe& recipe);
// What the student is asked through: as its teacher, where their tokens are the same; else what the
// recipe names, or the template of the model that it starts from.
void use_student_chat_template(const Recipe& recipe, const ModelCard& teacher, bool same_tokens,
                               ModelCard& card);
// The teacher, for people: what it is served as, its directory, or how it was made.
std::string teacher_name(const Recipe& recipe);

// Loads the recipe's teacher, or trains one and keeps it in the run directory.
RunModel make_teacher(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
                      const RunOptions& options);

// The examples as this model is asked them.
std::vector<Example> as_asked(const RunModel& model, std::span<const Example> examples);

// Warns, in one line each, of labels and test sets that say little, and of a student that is larger
// than its teacher. Returns the lines that it has said.
std::vector<std::string> say_warnings(const Recipe& recipe, const RunData& data,
                                      const RunTokenizers& tokenizers);

struct TrainingSet {
  std::vector<Sequence> sequences, validation;
  // What the validation rows are scored by, asked as `card` says; none: by their loss.
  std::function<double(const LanguageModel& model, const ModelCard& card)> score = nullptr;
};
// The recipe's task on the validation rows, higher is better. Nothing where the loss says it: for
// perplexity, and for models that are adapted or fill in canvases. Both must outlive it.
std::function<double(const LanguageModel& model, const ModelCard& card)> validation_score(
    const Recipe& recipe, const RunData& data, const Tokenizer& tokenizer);
// What a student that learns on-policy is asked, and who marks what it writes.
struct OnPolicyTask {
  std::vector<OnPolicyPrompt> prompts;
  std::unique_ptr<Marker> marker;
};
// Refuses, before any work, a recipe whose student or teacher cannot do what objective.on_policy
// wants. An endpoint is asked for it.
void check_on_policy_teacher(const Recipe& recipe);
// `card`: how the student is asked; `sequences`: what it learns off-policy. The teacher must
// outlive it.
OnPolicyTask on_policy_task(const Recipe& recipe, const RunData& data, const RunModel& teacher,
                            const RunTokenizers& tokenizers, const ModelCard& card,
                            std::span<const Sequence> sequences, const RunOptions& options);
// What to train a student as.
struct StudentJob {
  std::string name;
  HybridOptions objective;
  const LanguageModel* speaker = nullptr;                  // a teacher that speaks in memory
  std::optional<Tokenizer> speaker_tokens = std::nullopt;  // none: the student's
  const Transformer* ancestor = nullptr;        // a teacher that gives its weights to start from
  std::optional<Budget> budget = std::nullopt;  // none: as the recipe says
  ModelCard card;
  std::vector<TokenId> ends = {};  // where its texts end, beside its tokenizer's end-of-text token
  const OnPolicyTask* on_policy = nullptr;  // for objective.on_policy; null: no step is on-policy
};
// Trains a hybrid model of the recipe's [student] shape into DIRECTORY/NAME, or loads what an
// earlier attempt finished there.
RunModel make_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer, const RunOptions& options);

// How good a teacher on this machine is on validation rows, before anybody learns from it; a
// warning where it is no better than one answer to everything. "" where nothing can be said.
std::string teacher_in_words(const Recipe& recipe, const RunData& data, const RunModel& teacher,
                             const Tokenizer& tokenizer);
// Tokens read per second in training it, from a few steps on a copy that is thrown away.
double training_speed(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer);
// How a recipe asks its endpoint, for texts or for probabilities; `card` names the labels, if any.
EndpointOptions endpoint_options(const Recipe& recipe, const ModelCard& card, SignalKind kind);

struct SignalSequences {
  std::vector<Sequence> sequences;
  double aligned = 1;  // of the student's tokens, those that the teacher could speak about
  std::vector<std::string> notes;  // what came of asking, where not all is good
  std::vector<LeftOut> left_out;   // rows of the store that are not learned
};
// What the teacher says about the training data: gathers what signals.sqlite lacks and returns all
// of it.
SignalSequences gather_run_signals(const Recipe& recipe, const RunData& data,
                                   const RunModel& teacher, const RunTokenizers& tokenizers,
                                   const RunOptions& options);
// What a teacher behind an endpoint answers to these examples, in order; kept in the run directory,
// so that nothing is asked twice. An answer that it refused is empty.
std::vector<std::string> ask_endpoint(const Recipe& recipe, const ModelCard& card,
                                      std::span<const Example> examples, const Tokenizer& tokenizer,
                                      const RunOptions& options);
// Rows of a store as the student reads them; `card` says how it is asked. Of a conversation the
// answers alone are learned; `examples` are those that rows of texts alone may repeat. Rows that
// are too long or that `held_out` holds are left out. kCorruptData where such a row is not of its
// example; kUnsupported for several answers to a student with a tokenizer of its own.
SignalSequences read_signal_sequences(const std::string& path, const ModelCard& card,
                                      const RunTokenizers& tokenizers, int max_tokens,
                                      std::span<const Example> examples,
                                      std::span<HeldOutPrompts> held_out = {});
// The texts of a store alone, as a bidirectional student reads them: what a teacher says of next
// tokens is of no use to it.
SignalSequences read_signal_texts(const std::string& path, const ModelCard& card,
                                  const Tokenizer& tokenizer, int max_tokens,
                                  std::span<HeldOutPrompts> held_out = {});
// The rows of a store as data, each with its place in it, as `left_out` names it.
std::vector<Example> signal_rows(const std::string& path);

// The trainings that a run compares. All have the student's shape and may train as long; what one
// has and the one before it has not is what the difference comes from.
enum class Arm {
  kControl,  // all that the owner has without a teacher, and no weight of the teacher's
  kStart,    // the same from the student's first weights, where those are the teacher's
  kTexts,    // the texts that the student learns, the teacher's among them, without probabilities
  kStudent,
  kOnPolicy,  // the student, whose last steps learn what it writes itself and the teacher marks
};
// Of a model directory, and in report.json.
const char* name_of(Arm arm);
std::vector<std::string> arm_names();
// kInvalidArgument for a name that is none.
void check_arms(std::span<const std::string> wanted);

// What a student hears of its teacher.
struct Heard {
  bool texts = false, probabilities = false;
};
Heard heard(const Recipe& recipe, const RunData& data);
// The recipe with all that it leaves open decided. kInvalidArgument, with the key to change, where
// the student would hear nothing of its teacher.
Recipe settled(const Recipe& recipe, const RunData& data, bool same_tokens);
// objective.alpha where a recipe leaves it open and its kind of signals is known.
double usual_alpha(const Recipe& recipe);
// In the order in which they build on each other. `wanted` chooses, empty for all that say
// something; control and student are always there, and `start` wherever it differs from the
// control.
std::vector<Arm> arms_of(const Recipe& recipe, Heard heard, std::span<const std::string> wanted);
// Of those that somebody asked for, by name or in the recipe, the ones that are not among `arms`.
std::vector<std::string> not_trained(const Recipe& recipe, std::span<const Arm> arms,
                                     std::span<const std::string> wanted);

// Says, before any work, what will be trained and for about how long. `job` is a student without
// its teacher, `gold` the owner's own rows as it reads them, `teachers` the tokens that training
// the teacher reads, 0 for one that is there.
struct RunPlan {
  const StudentJob& job;
  const TrainingSet& gold;
  std::span<const Arm> arms;
  Heard heard;
  int64_t teacher_tokens = 0;
  std::vector<std::string> not_trained = {};  // arms that were asked for, and why they are not
};
void say_plan(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
              const RunPlan& plan);

// What the task yields without a neural network.
struct Baselines {
  std::vector<BaselineReport> list;
  std::vector<std::string> notes;  // what to make of them, where there is something
};
// Scores them on the test set beside `student`, the student's answers to it. For labels, TF-IDF
// with a linear model learns once from the owner's labels alone and once from the teacher's answers
// beside them, where signals.sqlite has any. The best that scores no lower than the student is
// recommended and kept in DIRECTORY/baseline; what an earlier measurement kept there goes away.
Baselines measure_baselines(const Recipe& recipe, const RunData& data, const Tokenizer& tokenizer,
                            const Evidence& student, const RunOptions& options);

struct RunModels {
  RunModel teacher;
  std::map<Arm, RunModel> arms;
  const RunModel& student() const { return arms.at(Arm::kStudent); }
  const RunModel& control() const { return arms.at(Arm::kControl); }
};
// `heard`: what the student was told, for the parts of the gap.
RunReport measure_run(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
                      const RunModels& models, Heard heard, const RunOptions& options);

}  // namespace alambic
