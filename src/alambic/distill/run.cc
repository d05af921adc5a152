#include "alambic/distill/run.h"

#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run_parts.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

// What a run leaves in its directory; --overwrite removes these and nothing else.
constexpr const char* kProducts[] = {"teacher",
                                     "student",
                                     "control",
                                     "tokenizer.json",
                                     "signals.sqlite",
                                     "signals.sqlite-wal",
                                     "signals.sqlite-shm",
                                     "answers.sqlite",
                                     "answers.sqlite-wal",
                                     "answers.sqlite-shm",
                                     "report.json",
                                     "report.html",
                                     "recipe.toml"};

void prepare_directory(const Recipe& recipe, const RunOptions& options) {
  const std::string stored = options.directory + "/recipe.toml";
  const std::string resolved = recipe_to_toml(recipe);
  if (file_exists(stored)) {
    if (options.overwrite) {
      for (const char* product : kProducts) fs::remove_all(fs::path(options.directory) / product);
    } else if (!options.resume) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] holds a run already; go on with --resume or start anew with --overwrite",
           options.directory);
    } else if (recipe_substance(read_recipe(stored, {})) != recipe_substance(recipe)) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] was run with another recipe; use that one, or another --run-dir", stored);
    }
  }
  make_directories(options.directory);
  write_file_atomic(stored, resolved);
}

// The vocabulary that a recipe names; empty: the run makes one of its data.
std::string named_tokenizer(const Recipe& recipe) {
  return recipe.has_endpoint() ? recipe.endpoint.tokenizer : recipe.teacher.model;
}

RunTokenizers run_tokenizers(const Recipe& recipe, const RunData& data, const RunOptions& options) {
  if (const std::string named = named_tokenizer(recipe); !named.empty()) {
    const Tokenizer teacher = Tokenizer::load(named);
    return {teacher, teacher.with_special(kMaskToken)};
  }
  const std::string path = options.directory + "/tokenizer.json";
  if (!file_exists(path)) train_run_tokenizer(recipe, data).save(path);
  const Tokenizer tokenizer = Tokenizer::load(path);
  return {tokenizer, tokenizer};
}

// The control sees no teacher: its own data, its own labels, the same shape, steps and tokens per
// step.
HybridOptions without_teacher(HybridOptions objective) {
  objective.alpha = 0;
  return objective;
}

ModelCard student_card(const Recipe& recipe, const RunData& data, const RunModel& teacher) {
  ModelCard card = run_card(recipe, data);
  card.prompt_template = teacher.card.prompt_template;
  card.block = recipe.objective.draft_weight > 0 ? recipe.objective.block : 0;
  return card;
}

}  // namespace

RunReport run_distillation(const Recipe& recipe, const RunOptions& options) {
  const Stopwatch total;
  Phases phases;
  const auto timed = [&](const char* phase, const auto& work) {
    const Stopwatch watch;
    auto result = work();
    phases.emplace_back(phase, watch.seconds());
    return result;
  };
  prepare_directory(recipe, options);
  const RunData data = load_run_data(recipe);
  const RunTokenizers tokenizers =
      timed("vocabulary", [&] { return run_tokenizers(recipe, data, options); });
  RunModels models;
  if (recipe.has_endpoint()) {
    models.teacher.name = "teacher";
    models.teacher.card = run_card(recipe, data);
  } else {
    models.teacher =
        timed("teacher", [&] { return make_teacher(recipe, data, tokenizers, options); });
  }
  const ModelCard card = student_card(recipe, data, models.teacher);
  TrainingSet taught;
  taught.sequences = timed("signals", [&] {
    return gather_run_signals(recipe, data, models.teacher, tokenizers.teacher, options);
  });
  if (recipe.has_endpoint() && recipe.task != "perplexity") {
    // Asked now: a cap or a lost connection should not come to light after hours of training.
    timed("test answers", [&] {
      return ask_endpoint(recipe, models.teacher.card, data.test, tokenizers.teacher, options);
    });
  }
  taught.validation =
      encode_examples(tokenizers.student, card, data.validation, recipe.data.max_tokens);
  int64_t tokens = 0;
  for (const Sequence& s : taught.sequences) tokens += static_cast<int64_t>(s.tokens.size());
  const int64_t steps = train_options(recipe.student_train, tokens, recipe.seed).steps;
  StudentJob taught_job{"student", recipe.objective, nullptr, nullptr, steps, card};
  if (recipe.signals.kind == "memory") taught_job.speaker = models.teacher.model.get();
  if (recipe.student.init == "teacher") taught_job.ancestor = models.teacher.model.get();
  taught_job.card.provenance = {
      {"made by", "alambic distill"}, {"teacher", teacher_name(recipe)}, {"recipe", recipe.name}};
  StudentJob control_job{"control", without_teacher(recipe.objective), nullptr, nullptr, steps,
                         card};
  control_job.card.provenance = {{"made by", "alambic distill, as the control: no teacher"},
                                 {"recipe", recipe.name}};
  models.student = timed("student", [&] {
    return make_student(taught_job, recipe, taught, tokenizers.student, options);
  });
  const TrainingSet gold{
      encode_examples(tokenizers.student, card, data.train, recipe.data.max_tokens),
      taught.validation};
  models.control = timed("control", [&] {
    return make_student(control_job, recipe, gold, tokenizers.student, options);
  });
  RunReport report =
      timed("evaluation", [&] { return measure_run(recipe, data, tokenizers, models, options); });
  report.seconds = total.seconds();
  report.phases = phases;
  write_file_atomic(options.directory + "/report.json", dump_json(to_json(report), 2) + "\n");
  write_file_atomic(options.directory + "/report.html", to_html(report));
  return report;
}

void run_training(const Recipe& recipe, const std::string& signals, const RunOptions& options) {
  const RunData data = load_run_data(recipe);
  make_directories(options.directory);
  Tokenizer tokenizer = [&] {
    if (const std::string named = named_tokenizer(recipe); !named.empty())
      return Tokenizer::load(named).with_special(kMaskToken);
    const std::string path = options.directory + "/tokenizer.json";
    if (!file_exists(path)) train_run_tokenizer(recipe, data).save(path);
    return Tokenizer::load(path);
  }();
  ModelCard card = run_card(recipe, data);
  card.block = recipe.objective.draft_weight > 0 ? recipe.objective.block : 0;
  card.provenance = {{"made by", "alambic train"}, {"recipe", recipe.name}};
  TrainingSet set{signals.empty()
                      ? encode_examples(tokenizer, card, data.train, recipe.data.max_tokens)
                      : read_signal_sequences(signals, recipe.data.max_tokens),
                  encode_examples(tokenizer, card, data.validation, recipe.data.max_tokens)};
  const HybridOptions objective =
      signals.empty() ? without_teacher(recipe.objective) : recipe.objective;
  const fs::path directory = fs::path(options.directory).lexically_normal();
  RunOptions inside = options;
  inside.directory = directory.has_parent_path() ? directory.parent_path().string() : ".";
  make_student({directory.filename().string(), objective, nullptr, nullptr, 0, card}, recipe, set,
               tokenizer, inside);
}

}  // namespace alambic
