// Teacher, student and control of a run.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>

#include "alambic/base/file.h"
#include "alambic/base/say.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/labels.h"
#include "alambic/distill/own_texts.h"
#include "alambic/distill/run_parts.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/models/adapters.h"
#include "alambic/models/mask_token.h"
#include "alambic/models/model_files.h"
#include "alambic/train/checkpoint.h"

namespace alambic {
namespace {

// What a checkpoint must agree with: the recipe and what is trained on.
std::string fingerprint(const Recipe& recipe, const std::string& name, const TrainingSet& set) {
  uLong sum = ::crc32(0, nullptr, 0);
  for (const Sequence& s : set.sequences) {
    sum = ::crc32(sum, reinterpret_cast<const Bytef*>(s.tokens.data()),
                  static_cast<uInt>(s.tokens.size() * sizeof(TokenId)));
  }
  return fmt::format(
      "{}\n[what is trained]\nmodel = \"{}\"\nrows = {}\ntokens = {}\nchecksum = \"{:08x}\"\n",
      recipe_substance(recipe), name, set.sequences.size(), token_count(set.sequences), sum);
}

std::vector<CurvePoint> stored_curve(const std::string& directory) {
  std::vector<CurvePoint> curve;
  const std::string path = directory + "/metrics.jsonl";
  if (!file_exists(path)) return curve;
  const std::string text = read_file(path);
  for (const std::string_view line : split_lines(text)) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    curve.push_back({json.value("step", int64_t{0}), json.value("tokens", int64_t{0}),
                     json.value("loss", kNone), json.value("validation", kNone)});
  }
  return curve;
}

// Inside the directory of a student that is polished: what it was before.
constexpr const char* kUnpolished = "/unpolished";
constexpr const char* kOwnTexts = "/own_texts.sqlite";

RunModel load_run_model(const std::string& name, const std::string& directory) {
  LoadedModel loaded = load_model(directory);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  const bool polished = file_exists(directory + kUnpolished + "/metrics.jsonl");
  const std::string trained_in = polished ? directory + kUnpolished : directory;
  return {name,
          std::move(loaded.model),
          std::move(loaded.card),
          loaded.file_bytes,
          stored_curve(trained_in),
          read_on_policy_cost(trained_in)};
}

// Makes the model that training starts from; may note in the card where it comes from.
using Start = std::function<std::unique_ptr<Transformer>(ModelCard& card)>;

Start fresh_model(const ModelConfig& config, uint64_t seed, const Transformer* ancestor) {
  return [=](ModelCard& card) {
    auto model = std::make_unique<Transformer>(config);
    model->initialise(seed);
    if (const double share = ancestor != nullptr ? model->inherit(*ancestor) : 0; share > 0) {
      card.provenance["start"] =
          fmt::format("the teacher's lowest layers, {:.0f} % of its weights", 100 * share);
    }
    return model;
  };
}

// A model of the recipe's own, whole or under adapters. A quantised one stays mapped: only adapters
// can learn beside it.
Start given_model(const Recipe& recipe, TokenId mask) {
  return [&recipe, mask](ModelCard& card) {
    const std::string& directory = recipe.student.model;
    card.provenance["start"] = directory;
    if (recipe.adapts()) return with_mask_token(*load_model(directory).model, mask);
    if (recipe.lora.rank == 0) return load_model(directory).model;
    const Precision precision = train_precision(recipe.student_train);
    // In floats too, which the gradients of inputs are made with.
    auto model = load_model(directory, Quantized::kMapped).model;
    freeze_for_inference(*model, precision);
    add_adapters(*model, {recipe.lora.rank, recipe.lora.alpha, recipe.lora.parts, recipe.seed});
    return model;
  };
}

bool is_trained(const std::string& directory) {
  return file_exists(directory + "/model.safetensors") || is_adapter_directory(directory);
}

// A finished model is gone on with only under the recipe that it was trained under.
void check_finished(const std::string& directory, const std::string& fingerprint) {
  const std::string checkpoint = directory + "/checkpoint.safetensors";
  if (file_exists(checkpoint)) check_checkpoint(checkpoint, fingerprint);
}

// Trains into `directory` unless a finished model is there, and returns the model as it reads back
// from disk.
RunModel train_or_load(const std::string& name, const Start& start, ModelCard card,
                       const Objective& objective, const TrainingSet& set, TrainOptions train_as,
                       const Tokenizer& tokenizer, const std::string& directory,
                       const std::string& base = "") {
  if (is_trained(directory)) {
    if (train_as.resume) check_finished(directory, train_as.fingerprint);
  } else {
    const std::unique_ptr<Transformer> model = start(card);
    train_as.label = name;
    train_as.directory = directory;
    if (set.score) {
      train_as.score = [&](const LanguageModel& at) { return set.score(at, card); };
    }
    const TrainResult result = train(*model, objective, set.sequences, set.validation, train_as);
    if (result.kept_step < train_as.budget.steps) {
      say("{}: kept as it was after step {} of {}, where it validated best\n", name,
          result.kept_step, train_as.budget.steps);
    }
    tokenizer.save(directory);
    if (has_adapters(*model)) {
      save_adapter_model(*model, card, std::filesystem::absolute(base).string(), directory);
    } else {
      save_model(*model, card, directory, DType::kBf16);
    }
    std::filesystem::remove(directory + "/best.safetensors");
  }
  return load_run_model(name, directory);
}

// What a model of the recipe's own cannot learn is refused before it is loaded.
void check_given_model(const Recipe& recipe, const Tokenizer& tokenizer,
                       const HybridOptions& objective) {
  const ModelConfig config = read_model_config(recipe.student.model);
  if (objective.draft_weight > 0 && config.mask < 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] has no mask token to draft with; give it one with alambic train --adapt, or set "
         "objective.draft_weight = 0",
         recipe.student.model);
  }
  if (tokenizer.vocab_size() > config.vocab_size) {
    fail(ErrorCode::kInvalidArgument,
         "[student] a tokenizer of {} tokens for a model of {}; want the model's own",
         tokenizer.vocab_size(), config.vocab_size);
  }
  if (recipe.lora.rank > 0 && is_adapter_directory(recipe.student.model)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] are adapters already; merge them into a model first: alambic import {} DIR",
         recipe.student.model, recipe.student.model);
  }
  if (recipe.lora.rank == 0 && stored_format(recipe.student.model)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] is quantised; it can learn through adapters: set student.lora.rank",
         recipe.student.model);
  }
}

ModelConfig with_ids(ModelConfig config, const Tokenizer& tokenizer,
                     const std::vector<TokenId>& ends = {}) {
  config.bos = tokenizer.bos().value_or(-1);
  config.eos = {end_token(tokenizer)};
  for (const TokenId id : ends) {
    if (id != config.eos.front() && id < config.vocab_size) config.eos.push_back(id);
  }
  config.mask = tokenizer.find(kMaskToken).value_or(-1);
  return config;
}

// A classifier of ours keeps to what it learned; any other model is told the labels.
void tell_labels(const Recipe& recipe, const std::vector<std::string>& labels, RunModel& teacher) {
  if (!labels.empty() && !teacher.card.labels.empty()) {
    if (const std::string what = label_difference(teacher.card.labels, labels); !what.empty()) {
      teacher.notes.push_back(
          fmt::format("warning: the labels of the teacher [{}] are not those of the data: {}; its "
                      "answers are taken from those of the data",
                      recipe.teacher.model, what));
    }
  }
  const Telling own{recipe.endpoint.system, recipe.endpoint.prompt_template};
  teacher.telling = teacher.card.task.empty() ? with_labels_told(own, labels)
                                              : Telling{with_labels(own.system, labels),
                                                        with_labels(own.prompt_template, labels)};
  teacher.card.labels = labels;
  for (const std::string& note : teacher.notes) say("teacher: {}\n", note);
}

}  // namespace

std::string teacher_name(const Recipe& recipe) {
  if (recipe.has_endpoint()) {
    return recipe.teacher.model.empty() ? "the model of " + recipe.endpoint.url
                                        : recipe.teacher.model;
  }
  return recipe.teacher.model.empty() ? "made on the spot" : recipe.teacher.model;
}

RunModel make_teacher(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
                      const RunOptions& options) {
  if (!recipe.teacher.model.empty()) {
    RunModel teacher = load_run_model("teacher", recipe.teacher.model);
    teacher.curve.clear();
    // A foreign teacher is asked with the recipe's template; one of ours knows its own.
    if (teacher.card.task.empty()) {
      teacher.card.prompt_template = recipe.data.prompt_template;
      use_recipe_chat_template(
          recipe, recipe.data.chat_template == "model" ? asked_model(recipe) : recipe.teacher.model,
          teacher.card);
    }
    const ModelCard& card = teacher.card;
    if (card.task.empty() && card.chat_template.empty() &&
        card.prompt_template.find(kAnswerToken) != std::string::npos &&
        !tokenizers.teacher.find(kAnswerToken)) {
      say("teacher: [{}] has no chat template and no token {}: it reads that as it is "
          "spelled; data.prompt_template says how prompts stand\n",
          recipe.teacher.model, kAnswerToken);
    }
    tell_labels(recipe, run_card(recipe, data).labels, teacher);
    return teacher;
  }
  ModelCard card = run_card(recipe, data);
  card.provenance = {{"made by", "alambic, on the spot, as the teacher of a run"},
                     {"data", recipe.data.source}};
  if (recipe.teacher_rows > 0) card.provenance["rows of its own"] = recipe.teacher_rows;
  const bool own_rows = !data.teacher_rows.empty();
  std::vector<LeftOut> too_long;  // of the run's own rows, that was said before
  const TrainingSet set{
      encode_examples(tokenizers.teacher, card, own_rows ? data.teacher_rows : data.train,
                      recipe.data.max_tokens, &too_long),
      encode_examples(tokenizers.teacher, card, data.validation, recipe.data.max_tokens)};
  LeftOutCounts left_out;
  if (own_rows) left_out.add(too_long);
  for (const std::string& line : left_out.in_words()) say("teacher: left out: {}\n", line);
  if (set.sequences.empty()) {
    fail(ErrorCode::kInvalidArgument, "[data] no example fits in data.max_tokens = {}",
         recipe.data.max_tokens);
  }
  TrainOptions train_as = train_options(recipe.teacher_train, set.sequences, recipe.seed);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, "teacher", set);
  const ModelConfig config =
      with_ids(model_config(recipe.teacher, tokenizers.teacher.vocab_size(),
                            rotary_positions(recipe.data.max_tokens), "teacher"),
               tokenizers.teacher);
  return train_or_load("teacher", fresh_model(config, recipe.seed, nullptr), card,
                       HybridObjective(HybridOptions{}, nullptr,
                                       {rows_without_token(tokenizers.teacher, config.vocab_size)}),
                       set, train_as, tokenizers.teacher, options.directory + "/teacher");
}

namespace {

TokenlessRows tokenless_rows(const StudentJob& job, const Recipe& recipe,
                             const Tokenizer& tokenizer) {
  TokenlessRows rows;
  const int given =
      recipe.student.model.empty() ? 0 : read_model_config(recipe.student.model).vocab_size;
  rows.student = rows_without_token(tokenizer, std::max(given, tokenizer.vocab_size()));
  if (job.speaker != nullptr) {
    rows.teacher = rows_without_token(job.speaker_tokens ? *job.speaker_tokens : tokenizer,
                                      job.speaker->config().vocab_size);
  }
  return rows;
}

// What a job trains, and by which objective.
struct Trainee {
  Start start;
  std::unique_ptr<Objective> objective;
};

Trainee trainee(const StudentJob& job, const Recipe& recipe, const Tokenizer& tokenizer) {
  Trainee made;
  TokenlessRows tokenless = tokenless_rows(job, recipe, tokenizer);
  if (is_bidirectional(recipe)) {
    made.objective = std::make_unique<MaskedObjective>(recipe.masked, std::move(tokenless.student));
  } else {
    made.objective =
        std::make_unique<HybridObjective>(job.objective, job.speaker, std::move(tokenless));
  }
  if (!recipe.student.model.empty()) {
    if (!recipe.adapts()) check_given_model(recipe, tokenizer, job.objective);
    made.start = given_model(recipe, tokenizer.find(kMaskToken).value_or(-1));
  } else {
    const ModelConfig config =
        with_ids(student_config(recipe, tokenizer.vocab_size()), tokenizer, job.ends);
    made.start = fresh_model(config, recipe.seed + 1, job.ancestor);
  }
  return made;
}

// Makes the last steps of a training on-policy ones; they look at `own`.
void learn_own_texts(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                     const Tokenizer& tokenizer, const RunOptions& options,
                     const std::string& directory, std::optional<OnPolicy>& own,
                     TrainOptions& train_as) {
  const OnPolicyRecipe& o = recipe.on_policy;
  const int64_t steps = train_as.budget.steps;
  const int64_t on_policy = std::llround(o.share * static_cast<double>(steps));
  if (on_policy == 0 || is_trained(directory)) return;
  if (!options.resume) remove_on_policy_files(directory);  // of a run that somebody gave up
  const OnPolicyOptions texts{.texts = o.texts,
                              .uses = o.uses,
                              .max_new_tokens = recipe.signals.max_new_tokens,
                              .max_tokens = recipe.data.max_tokens,
                              .temperature = o.text_temperature,
                              .seed = recipe.seed,
                              .precision = train_as.precision};
  own.emplace(texts, job.on_policy->prompts, *job.on_policy->marker, tokenizer, directory);
  train_as.rounds =
      Rounds{.first = steps - on_policy,
             .steps = OnPolicy::steps_of_round(texts, set.sequences, train_as.tokens_per_step),
             .texts = [&own](int64_t round, bool begins, const LanguageModel& model) {
               return own->round(round, begins, model);
             }};
  say("{}: of {} steps the last {} learn what it writes itself, {} texts for {} steps\n", job.name,
      steps, on_policy, o.texts, train_as.rounds->steps);
}

// Trains the student of a job into `directory`.
RunModel trained_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                         const Tokenizer& tokenizer, const RunOptions& options,
                         const std::string& directory) {
  TrainOptions train_as =
      train_options(recipe.student_train, set.sequences, recipe.seed, job.budget);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, job.name, set);
  std::optional<OnPolicy> own;
  if (job.on_policy != nullptr)
    learn_own_texts(job, recipe, set, tokenizer, options, directory, own, train_as);
  const Trainee made = trainee(job, recipe, tokenizer);
  return train_or_load(job.name, made.start, job.card, *made.objective, set, train_as, tokenizer,
                       directory, recipe.student.model);
}

// The last part: texts of its own, mixed with what it learned from.
RunModel polished_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                          const Tokenizer& tokenizer, const RunOptions& options,
                          const std::string& directory) {
  const PolishRecipe& p = recipe.polish;
  const std::string before = directory + kUnpolished;
  const RunModel student = trained_student(job, recipe, set, tokenizer, options, before);
  TrainingSet mixed{write_own_texts(*student.model, tokenizer, set.sequences,
                                    {.prompts = p.prompts,
                                     .max_new_tokens = p.max_new_tokens,
                                     .max_tokens = recipe.data.max_tokens,
                                     .temperature = p.text_temperature,
                                     .seed = recipe.seed,
                                     .model_checksum = weights_checksum(before)},
                                    directory + kOwnTexts),
                    set.validation};
  ModelCard card = job.card;
  card.provenance["polish"] =
      fmt::format("{} steps, {} texts of its own among them", p.steps, mixed.sequences.size());
  mixed.sequences =
      mixed_with(std::move(mixed.sequences), set.sequences, p.gold_share, recipe.seed);
  TrainRecipe train_recipe = recipe.student_train;
  train_recipe.steps = p.steps;
  train_recipe.lr = p.lr;
  train_recipe.validations = 0;  // drafts go on learning after the score has settled
  TrainOptions train_as = train_options(train_recipe, mixed.sequences, recipe.seed + 2);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, job.name + " polish", mixed);
  HybridOptions objective = job.objective;
  objective.own = {p.divergence, p.certainty, p.hold};
  const Start start = [&](ModelCard&) { return load_model(before).model; };
  return train_or_load(
      job.name, start, card,
      HybridObjective(objective, job.speaker, tokenless_rows(job, recipe, tokenizer)), mixed,
      train_as, tokenizer, directory);
}

}  // namespace

double training_speed(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer) {
  const Trainee made = trainee(job, recipe, tokenizer);
  ModelCard card = job.card;
  const std::unique_ptr<Transformer> model = made.start(card);
  constexpr double kEnough = 0.3;  // seconds
  constexpr int64_t kMost = 64;    // steps
  double speed = 0;
  for (int64_t steps = 1; steps <= kMost; steps *= 8) {
    TrainOptions as =
        train_options(recipe.student_train, set.sequences, recipe.seed, Budget{.steps = steps});
    as.label = "measuring the speed of training";
    as.keep_best = false;
    const TrainResult result = train(*model, *made.objective, set.sequences, {}, as);
    speed = result.tokens_per_s;
    if (result.seconds > kEnough) break;
  }
  return speed;
}

RunModel make_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer, const RunOptions& options) {
  if (set.sequences.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] no training text fits in data.max_tokens = {}",
         job.name, recipe.data.max_tokens);
  }
  const std::string directory = options.directory + "/" + job.name;
  if (recipe.polish.steps == 0)
    return trained_student(job, recipe, set, tokenizer, options, directory);
  if (is_trained(directory)) {
    if (options.resume) check_finished(directory + kUnpolished, fingerprint(recipe, job.name, set));
    return load_run_model(job.name, directory);
  }
  if (!options.resume) {
    // Of a run that somebody gave up.
    namespace fs = std::filesystem;
    fs::remove_all(directory + kUnpolished);
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(directory + kOwnTexts + suffix);
  }
  return polished_student(job, recipe, set, tokenizer, options, directory);
}

}  // namespace alambic
