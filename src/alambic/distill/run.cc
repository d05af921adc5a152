#include "alambic/distill/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/say.h"
#include "alambic/data/readers.h"
#include "alambic/data/signal_store.h"
#include "alambic/data/trained_on.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run_directory.h"
#include "alambic/distill/run_parts.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/what_lies_at.h"
#include "alambic/train/fingerprint.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

// The vocabulary that this run makes, once.
Tokenizer own_tokenizer(const Recipe& recipe, const RunData& data, const RunOptions& options) {
  const std::string path = options.directory + "/tokenizer.json";
  if (!file_exists(path)) train_run_tokenizer(recipe, data).save(path);
  return Tokenizer::load(path);
}

// The one that a recipe names for its student, "" for that of the teacher.
std::string named_for_student(const Recipe& recipe) {
  // A model that is given has rows for its own tokens alone.
  return recipe.student.tokenizer.empty() ? recipe.student.model : recipe.student.tokenizer;
}

Tokenizer teacher_tokenizer(const Recipe& recipe, const RunData& data, const RunOptions& options) {
  std::string named = recipe.teacher.tokenizer;
  if (named.empty())
    named = recipe.has_endpoint() ? named_for_student(recipe) : recipe.teacher.model;
  return named.empty() || named == "train" ? own_tokenizer(recipe, data, options)
                                           : Tokenizer::load(named);
}

// `teachers`: of the teacher, where it is known already.
Tokenizer student_tokenizer(const Recipe& recipe, const RunData& data, const RunOptions& options,
                            const Tokenizer* teachers = nullptr) {
  const std::string named = named_for_student(recipe);
  const Tokenizer tokenizer = named == "train"      ? own_tokenizer(recipe, data, options)
                              : !named.empty()      ? Tokenizer::load(named)
                              : teachers != nullptr ? *teachers
                                                    : teacher_tokenizer(recipe, data, options);
  return recipe.student.model.empty() ? tokenizer.with_special(kMaskToken) : tokenizer;
}

// Both, where what a teacher of the first says in this form can be learned by a student of the
// second. `kind`: as signals.kind.
RunTokenizers paired(const Recipe& recipe, std::string_view kind, Tokenizer teacher,
                     Tokenizer student) {
  const std::string difference = first_token_difference(teacher, student);
  RunTokenizers tokenizers{std::move(teacher), std::move(student), difference.empty()};
  if (tokenizers.same) return tokenizers;
  if (kind == "memory" && recipe.objective.alpha > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[signals] the student's tokens are not the teacher's ({}): probabilities from memory "
         "would be wrong; set signals.kind = \"topk\" and signals.align = \"bytes\"",
         difference);
  }
  if (kind != "text" && recipe.signals.align != "bytes") {
    fail(ErrorCode::kInvalidArgument,
         "[signals] the student's tokens are not the teacher's ({}): its probabilities would be "
         "wrong; set signals.align = \"bytes\", or learn from texts alone (signals.kind = "
         "\"text\", objective.alpha = 0)",
         difference);
  }
  if (recipe.student.init == "teacher" && recipe.student.model.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[student] init = \"teacher\" wants the teacher's tokens ({}); set student.init = "
         "\"random\"",
         difference);
  }
  return tokenizers;
}

// Decides what the recipe leaves open, and returns the vocabularies.
RunTokenizers settle(Recipe& recipe, const RunData& data, const RunOptions& options) {
  Tokenizer teacher = teacher_tokenizer(recipe, data, options);
  Tokenizer student = student_tokenizer(recipe, data, options, &teacher);
  recipe = settled(recipe, data, first_token_difference(teacher, student).empty());
  return paired(recipe, recipe.signals.kind, std::move(teacher), std::move(student));
}

// The vocabulary that a store was written in: what the recipe names for its teacher, or else that
// of the run beside whose signals it lies, what the store itself names, or what the recipe makes
// of the data. Nothing where it is none of them; `difference` then says in which token the first
// one that was there differs.
std::optional<Tokenizer> store_tokenizer(const Recipe& recipe, const RunData& data,
                                         const std::string& signals, std::string& difference) {
  const SignalStore store = SignalStore::open(signals);
  const auto fits = [&](const Tokenizer& tokenizer, const std::string& name) {
    if (tokenizer.hash() == store.header().tokenizer_hash) return true;
    if (!difference.empty()) return false;
    std::string token;
    store.for_each([&](const SignalRow& row) {
      if (token.empty()) token = first_token_difference(row, tokenizer);
    });
    difference = fmt::format("not that of {}{}{}", name, token.empty() ? "" : ": ", token);
    return false;
  };
  std::string named = recipe.teacher.tokenizer;
  if (named.empty())
    named = recipe.has_endpoint() ? named_for_student(recipe) : recipe.teacher.model;
  std::vector<std::string> places{named};
  if (named.empty() || named == "train")
    places = {(fs::path(signals).parent_path() / "tokenizer.json").string(),
              store.header().tokenizer, store.header().teacher_id};
  for (const std::string& place : places) {
    if (!file_exists(place) && !fs::is_directory(place)) continue;
    const Tokenizer tokenizer = Tokenizer::load(place);
    if (fits(tokenizer, place)) return tokenizer;
  }
  if (named.empty() || named == "train") {
    const Tokenizer made = train_run_tokenizer(recipe, data);
    if (fits(made, "this recipe's data")) return made;
  }
  return std::nullopt;
}

// For a student that learns from a store alone.
RunTokenizers store_tokenizers(const Recipe& recipe, const RunData& data,
                               const std::string& signals, const RunOptions& options) {
  const SignalHeader header = SignalStore::open(signals).header();
  const HybridOptions& o = recipe.objective;
  if (o.alpha > 0 && header.kind == SignalKind::kText) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] holds texts alone, and objective.alpha = {} learns from probabilities; set "
         "objective.alpha = 0",
         signals, o.alpha);
  }
  if (o.alpha > 0 && std::abs(header.temperature - o.temperature) > 1e-9) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] holds probabilities of temperature {}, and objective.temperature = {}; set it to "
         "the store's",
         signals, header.temperature, o.temperature);
  }
  if (o.alpha > 0 && header.kind == SignalKind::kDraws && o.divergence != Divergence::kForwardKl) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] holds draws, which support objective.divergence = \"forward_kl\" alone", signals);
  }
  std::string difference;
  std::optional<Tokenizer> teacher = store_tokenizer(recipe, data, signals, difference);
  if (!teacher && header.kind == SignalKind::kText && !named_for_student(recipe).empty()) {
    // Of texts nobody needs the tokens that they were written in.
    Tokenizer own = student_tokenizer(recipe, data, options);
    return {own, own, false};
  }
  if (!teacher) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] was written in a vocabulary that is {}; name its teacher's with "
         "teacher.tokenizer = \"DIRECTORY\"",
         signals, difference);
  }
  Tokenizer student = student_tokenizer(recipe, data, options, &*teacher);
  return paired(recipe, signal_kind_name(header.kind), *std::move(teacher), std::move(student));
}

// The control sees no teacher: its own data, its own labels, the same shape, and the student's
// steps, each of as many tokens. Where the student learns the data's own texts both read the same
// documents equally often.
HybridOptions without_teacher(HybridOptions objective) {
  objective.alpha = 0;
  return objective;
}

// A bidirectional student fills forms in place, or else writes on a canvas of one size.
void prepare_form(const Recipe& recipe, ModelCard& card) {
  card.block = 0;
  if (recipe.data.blank.empty()) return;
  card.blank = recipe.data.blank;
  card.prompt_template = "{prompt}";
}

// The canvas of the longest answer, and every answer filled up to it.
void fit_canvas(const Tokenizer& tokenizer, ModelCard& card, std::vector<Sequence>& sequences) {
  if (!card.blank.empty()) return;
  for (const Sequence& s : sequences)
    card.canvas = std::max(card.canvas, static_cast<int>(s.tokens.size()) - s.prompt_tokens);
  for (Sequence& s : sequences) pad_to_canvas(s, card.canvas, end_token(tokenizer));
}

ModelCard student_card(const Recipe& recipe, const RunData& data, const RunModel& teacher,
                       bool same_tokens) {
  ModelCard card = run_card(recipe, data);
  card.prompt_template = teacher.card.prompt_template;
  use_student_chat_template(recipe, teacher.card, same_tokens, card);
  card.block = recipe.objective.draft_weight > 0 ? recipe.objective.block : 0;
  // Who thinks first does not begin with a label.
  if (recipe.endpoint.reasoning == "keep") card.labels.clear();
  return card;
}

// Rows that do not fit teach nobody. Where the teacher writes anew, they are questions to it.
void leave_out_unfit(const Recipe& recipe, const RunTokenizers& tokenizers, RunData& data) {
  ModelCard card = run_card(recipe, data);
  if (is_bidirectional(recipe)) prepare_form(recipe, card);
  std::vector<LeftOut> left_out, of_validation;
  encode_examples(tokenizers.student, card, data.validation, recipe.data.max_tokens,
                  &of_validation);
  encode_examples(tokenizers.student, card, data.train, recipe.data.max_tokens, &left_out);
  if (left_out.empty() && !tokenizers.same) {
    encode_examples(tokenizers.teacher, card, data.train, recipe.data.max_tokens, &left_out);
  }
  const std::vector<Example> asked = leave_out(data, left_out, of_validation);
  if (recipe.signals.texts == "gold") return;
  for (const Example& row : asked) data.prompts.push_back(row);
  data.report.prompts = static_cast<int64_t>(data.prompts.size());
}

// A student is asked as the rows of a store that it learns were: their tokens hold the template.
void ask_as_stored(const Recipe& recipe, const std::string& path, ModelCard& card) {
  const SignalHeader header = SignalStore::open(path).header();
  if (!header.chat_template.empty()) card.chat_template = header.chat_template;
  if (header.chat_template.empty() && recipe.data.chat_template.empty()) card.chat_template.clear();
  if (card.chat_template.empty() && !header.prompt_template.empty())
    card.prompt_template = header.prompt_template;
}

// What a recipe names is there and can be read, before anything is written or trained for hours.
void check_tokenizer(const std::string& named) {
  if (!named.empty() && named != "train") static_cast<void>(Tokenizer::load(named));
}

// Of a family that is known: said before a foreign vocabulary is read.
void check_model(const std::string& named) {
  check_is_model(named);
  static_cast<void>(read_model_config(named));
}

void check_named_student(const Recipe& recipe) {
  if (!recipe.student.model.empty()) {
    check_model(recipe.student.model);
  } else {
    student_config(recipe, recipe.vocabulary);
  }
  check_tokenizer(named_for_student(recipe));
}

void check_named_teacher(const Recipe& recipe) {
  check_tokenizer(recipe.teacher.tokenizer);
  if (recipe.has_endpoint()) return;
  if (recipe.teacher.model.empty()) {
    model_config(recipe.teacher, recipe.vocabulary, recipe.data.max_tokens, "teacher");
    return;
  }
  check_model(recipe.teacher.model);
  if (recipe.teacher.tokenizer.empty()) check_tokenizer(recipe.teacher.model);
}

void plan(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers, Heard heard,
          const std::vector<Arm>& arms, const RunOptions& options) {
  const Heartbeat beat("plan");
  const ModelCard card = run_card(recipe, data);
  const TrainingSet gold{
      encode_examples(tokenizers.student, card, data.train, recipe.data.max_tokens), {}};
  const StudentJob job{
      .name = "student", .objective = without_teacher(recipe.objective), .card = card};
  RunPlan plan{job, gold, arms, heard};
  plan.not_trained = not_trained(recipe, arms, options.arms);
  if (!recipe.has_endpoint() && recipe.teacher.model.empty()) {
    const std::vector<Sequence> own =
        encode_examples(tokenizers.teacher, card, data.teacher_rows, recipe.data.max_tokens);
    const TrainOptions as =
        train_options(recipe.teacher_train, own.empty() ? gold.sequences : own, recipe.seed);
    plan.teacher_tokens = as.budget.steps * as.tokens_per_step;
  }
  say_plan(recipe, data, tokenizers, plan);
}

RunReport run_in(Recipe recipe, RunData loaded, const RunOptions& options) {
  const Stopwatch total;
  Phases phases;
  const auto timed = [&](const char* phase, const auto& work) {
    const Stopwatch watch;
    const Heartbeat beat(phase);
    auto result = work();
    phases.emplace_back(phase, watch.seconds());
    return result;
  };
  const RunTokenizers tokenizers =
      timed("vocabulary", [&] { return settle(recipe, loaded, options); });
  leave_out_unfit(recipe, tokenizers, loaded);
  const RunData data = std::move(loaded);
  say_data(data);
  const std::vector<std::string> warnings = say_warnings(recipe, data, tokenizers);
  keep_training_rows(data, options);
  const Heard told = heard(recipe, data);
  const std::vector<Arm> arms = arms_of(recipe, told, options.arms);
  if (!options.resume) plan(recipe, data, tokenizers, told, arms, options);
  RunModels models;
  if (recipe.has_endpoint()) {
    models.teacher.name = "teacher";
    models.teacher.card = run_card(recipe, data);
  } else {
    models.teacher =
        timed("teacher", [&] { return make_teacher(recipe, data, tokenizers, options); });
  }
  if (models.teacher.model && !options.resume) {
    const std::string line = teacher_in_words(recipe, data, models.teacher, tokenizers.teacher);
    if (!line.empty()) say("teacher: {}\n", line);
  }
  ModelCard card = student_card(recipe, data, models.teacher, tokenizers.same);
  // Ends that a teacher's files name are ids of its own tokens.
  if (recipe.student.model.empty() && tokenizers.same) card.ends = models.teacher.card.ends;
  const bool bidirectional = is_bidirectional(recipe);
  if (bidirectional) prepare_form(recipe, card);
  TrainingSet taught;
  SignalSequences signals = timed("signals", [&] {
    return gather_run_signals(recipe, data, models.teacher, tokenizers, options);
  });
  const std::vector<std::string> asking = std::move(signals.notes);
  taught.sequences = std::move(signals.sequences);
  if (bidirectional) {
    signals = read_signal_texts(options.directory + "/signals.sqlite", card, tokenizers.student,
                                recipe.data.max_tokens);
    taught.sequences = std::move(signals.sequences);
    fit_canvas(tokenizers.student, card, taught.sequences);
  }
  LeftOutCounts unread;
  unread.add(signals.left_out);
  for (const std::string& line : unread.in_words()) say("teacher: left out: {}\n", line);
  if (recipe.has_endpoint() && recipe.task != "perplexity") {
    // Asked now: a cap or a lost connection should not come to light after hours of training.
    timed("test answers", [&] {
      return ask_endpoint(recipe, models.teacher.card, data.test, tokenizers.teacher, options);
    });
  }
  taught.validation =
      encode_examples(tokenizers.student, card, data.validation, recipe.data.max_tokens);
  const std::optional<Budget> budget =
      train_options(recipe.student_train, taught.sequences, recipe.seed).budget;
  taught.score = validation_score(recipe, data, tokenizers.student);
  const TrainingSet gold{
      encode_examples(tokenizers.student, card, data.train, recipe.data.max_tokens),
      taught.validation, taught.score};
  // A teacher that was taught to talk ends answers with tokens of its own, as its template does.
  std::vector<TokenId> ends;
  if (models.teacher.model && tokenizers.same) ends = models.teacher.model->config().eos;
  OnPolicyTask own;
  if (std::find(arms.begin(), arms.end(), Arm::kOnPolicy) != arms.end()) {
    own = on_policy_task(recipe, data, models.teacher, tokenizers, card, taught.sequences, options);
  }
  for (const Arm arm : arms) {
    const bool speaks = arm == Arm::kStudent || arm == Arm::kOnPolicy;
    const bool teaches = speaks || arm == Arm::kTexts;
    StudentJob job{.name = name_of(arm),
                   .objective = speaks ? recipe.objective : without_teacher(recipe.objective),
                   .budget = budget,
                   .card = card,
                   .ends = ends};
    if (arm == Arm::kOnPolicy) job.on_policy = &own;
    if (speaks && recipe.signals.kind == "memory") {
      job.speaker = models.teacher.model.get();
      job.speaker_tokens = tokenizers.teacher;
    }
    if (arm != Arm::kControl && recipe.student.init == "teacher")
      job.ancestor = models.teacher.model.get();
    job.card.provenance = {
        {"made by", teaches ? "alambic distill"
                            : fmt::format("alambic distill, as the {}: no teacher", job.name)},
        {"recipe", recipe.name}};
    if (teaches) job.card.provenance["teacher"] = teacher_name(recipe);
    models.arms.emplace(arm, timed(name_of(arm), [&] {
                          return make_student(job, recipe, teaches ? taught : gold,
                                              tokenizers.student, options);
                        }));
    note_training_data(recipe, data, options.directory + "/" + job.name);
  }
  if (!data.teacher_rows.empty()) {
    save_trained_on(options.directory + "/teacher", {}, data.teacher_rows);
  } else if (!recipe.has_endpoint() && recipe.teacher.model.empty()) {
    note_training_data(recipe, data, options.directory + "/teacher");
  }
  RunReport report = timed(
      "evaluation", [&] { return measure_run(recipe, data, tokenizers, models, told, options); });
  report.data = data.report;
  report.notes.insert(report.notes.end(), warnings.begin(), warnings.end());
  report.notes.insert(report.notes.end(), asking.begin(), asking.end());
  for (const std::string& line : unread.in_words())
    report.notes.push_back("of the teacher's rows, left out: " + line);
  for (const auto& [arm, model] : models.arms) {
    if (model.on_policy) report.notes.push_back(in_words(*model.on_policy));
  }
  report.seconds = total.seconds();
  report.phases = phases;
  if (!tokenizers.same && recipe.signals.kind != "text") {
    report.notes.push_back(
        fmt::format("the student has its own tokens: the teacher's probabilities reach {:.0f} % of "
                    "them, where tokens of both begin at the same byte",
                    100 * signals.aligned));
  }
  write_file_atomic(options.directory + "/report.json", dump_json(to_json(report), 2) + "\n");
  write_file_atomic(options.directory + "/report.html", to_html(report));
  return report;
}

DataReport train_in(const Recipe& recipe, const std::string& signals, RunData data,
                    const RunOptions& options);

}  // namespace

RunReport run_distillation(const Recipe& recipe, const RunOptions& options) {
  if (recipe.adapts()) {
    fail(ErrorCode::kInvalidArgument,
         "[student] init = \"adapt\" is no distillation from a teacher; use alambic train");
  }
  check_arms(options.arms);
  check_directory(kRunDirectory, recipe_to_toml(recipe), options);
  check_named_student(recipe);
  check_named_teacher(recipe);
  check_nothing_read_there(recipe, "", options);
  // What was found once is not asked again.
  if (!options.resume) check_on_policy_teacher(recipe);
  RunData data = [&] {
    const Heartbeat beat("data");
    return load_run_data(recipe, Unanswered::kTeacherAnswers);
  }();
  RunReport report;
  in_directory(kRunDirectory, recipe_to_toml(recipe), options,
               [&](const RunOptions& inside) { report = run_in(recipe, std::move(data), inside); });
  return report;
}

DataReport run_training(const Recipe& recipe, const std::string& signals,
                        const RunOptions& options) {
  const Heartbeat beat("train");
  if (recipe.on_policy.share > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] on_policy = {} wants a teacher that marks what the student writes, and "
         "alambic train has none; use alambic distill, or set objective.on_policy = 0",
         recipe.on_policy.share);
  }
  check_directory(kTrainingDirectory, training_record(recipe, signals), options);
  check_named_student(recipe);
  check_nothing_read_there(recipe, signals, options);
  if (!signals.empty()) static_cast<void>(SignalStore::open(signals));
  RunData data = load_run_data(recipe);
  DataReport report;
  in_directory(kTrainingDirectory, training_record(recipe, signals), options,
               [&](const RunOptions& inside) {
                 report = train_in(recipe, signals, std::move(data), inside);
               });
  return report;
}

namespace {

// A student is asked as the texts that it learned from were.
void adopt_prompts(const std::string& signals, ModelCard& card) {
  const std::string asked = SignalStore::open(signals).header().prompt_template;
  if (!card.chat_template.empty() || asked.empty() || asked == card.prompt_template) return;
  say("signals: their prompts stand in \"{}\", and so do the student's; the recipe's "
      "data.prompt_template, \"{}\", is not used\n",
      asked, card.prompt_template);
  card.prompt_template = asked;
}

// The recipe as it learns from this store.
Recipe settled_for(const Recipe& recipe, const std::string& signals) {
  Recipe r = recipe;
  r.signals.kind = signal_kind_name(SignalStore::open(signals).header().kind);
  if (r.objective.alpha == kAutoAlpha) r.objective.alpha = usual_alpha(r);
  return r;
}

// What a store holds, less what is held out: it takes the place of the data's own training rows.
std::vector<Sequence> stored_sequences(const std::string& signals, const ModelCard& card,
                                       const RunTokenizers& tokenizers, int max_tokens,
                                       bool texts_alone, RunData& data) {
  std::vector<HeldOutPrompts> held_out;
  held_out.emplace_back(data.test);
  held_out.emplace_back(data.validation);
  SignalSequences read =
      texts_alone
          ? read_signal_texts(signals, card, tokenizers.student, max_tokens, held_out)
          : read_signal_sequences(signals, card, tokenizers, max_tokens, data.train, held_out);
  data.train = signal_rows(signals);
  data.prompts.clear();
  DataReport& report = data.report;
  report.read = static_cast<int64_t>(data.train.size());
  report.left_out = {};
  report.beyond_limit = 0;
  report.in_test = held_out[0].found();
  report.in_validation = held_out[1].found();
  std::vector<LeftOut> of_validation;
  encode_examples(tokenizers.student, card, data.validation, max_tokens, &of_validation);
  leave_out(data, read.left_out, of_validation);
  return std::move(read.sequences);
}

DataReport train_in(const Recipe& asked, const std::string& signals, RunData data,
                    const RunOptions& options) {
  const Recipe recipe = signals.empty() ? asked : settled_for(asked, signals);
  // Without signals nobody asks the teacher's.
  const RunTokenizers tokenizers = [&]() -> RunTokenizers {
    if (!signals.empty()) return store_tokenizers(recipe, data, signals, options);
    const Tokenizer own = student_tokenizer(recipe, data, options);
    return {own, own};
  }();
  const Tokenizer& tokenizer = tokenizers.student;
  write_jsonl(options.directory + "/held_out.jsonl", data.test);
  ModelCard card = run_card(recipe, data);
  card.block = recipe.objective.draft_weight > 0 ? recipe.objective.block : 0;
  card.provenance = {{"made by", "alambic train"}, {"recipe", recipe.name}};
  if (!signals.empty() && tokenizers.same) ask_as_stored(recipe, signals, card);
  const int max_tokens = recipe.data.max_tokens;
  TrainingSet set;
  const bool bidirectional = is_bidirectional(recipe);
  if (bidirectional) prepare_form(recipe, card);
  if (!signals.empty() && !bidirectional && tokenizers.same) adopt_prompts(signals, card);
  if (signals.empty()) {
    std::vector<LeftOut> left_out, of_validation;
    set.sequences = encode_examples(tokenizer, card, data.train, max_tokens, &left_out);
    encode_examples(tokenizer, card, data.validation, max_tokens, &of_validation);
    leave_out(data, left_out, of_validation);
  } else {
    set.sequences = stored_sequences(signals, card, tokenizers, max_tokens, bidirectional, data);
  }
  say_data(data);
  if (bidirectional) fit_canvas(tokenizer, card, set.sequences);
  set.validation = encode_examples(tokenizer, card, data.validation, max_tokens);
  const HybridOptions objective =
      signals.empty() ? without_teacher(recipe.objective) : recipe.objective;
  set.score = validation_score(recipe, data, tokenizer);
  const fs::path directory = fs::path(options.directory).lexically_normal();
  RunOptions inside = options;
  inside.directory = directory.has_parent_path() ? directory.parent_path().string() : ".";
  make_student({.name = directory.filename().string(), .objective = objective, .card = card},
               recipe, set, tokenizer, inside);
  note_training_data(recipe, data, options.directory);
  return data.report;
}

}  // namespace

}  // namespace alambic
