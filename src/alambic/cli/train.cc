// alambic train: the student of a recipe, without a teacher or on signals that are already stored.
#include <fmt/format.h>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/shell.h"
#include "alambic/cli/model_notes.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/distill/adaptation.h"
#include "alambic/distill/run.h"
#include "alambic/models/hf_directory.h"

namespace alambic {
namespace {

constexpr const char* kTrainExample =
    "  alambic train my.toml --out models/mine\n"
    "  alambic train my.toml --signals runs/mine/signals.sqlite --set student.dim=64 --out "
    "models/smaller\n"
    "  alambic train my.toml --adapt models/autoregressive --out models/hybrid";

struct TrainArguments {
  std::string recipe, signals, adapt, directory;
  std::vector<std::string> settings;
  bool resume = false, overwrite = false, json = false;
};

void bind(CLI::App& verb, TrainArguments& o) {
  verb.add_option("recipe", o.recipe, "Recipe; alambic distill --print-recipe shows one")
      ->required()
      ->type_name("RECIPE.toml");
  verb.add_option("--set", o.settings, "Override a key of the recipe; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* signals = verb.add_option("--signals", o.signals, "Learn from a teacher's stored signals")
                      ->type_name("FILE.sqlite");
  verb.add_option("--adapt", o.adapt,
                  "Make a hybrid student of an autoregressive model: it learns to draft and to "
                  "diffuse, and stays what it was; student.init = \"adapt\" in a recipe")
      ->type_name("MODEL")
      ->excludes(signals);
  verb.add_option("--out", o.directory, "Model directory to write")->required()->type_name("DIR");
  auto* resume =
      verb.add_flag("--resume", o.resume, "Go on from the last checkpoint, to the same result");
  verb.add_flag("--overwrite", o.overwrite, "Start anew in a directory that holds a model")
      ->excludes(resume);
  verb.add_flag("--json", o.json, "One JSON object");
}

void act(const TrainArguments& o, const Invocation& invocation) {
  std::vector<std::string> settings = o.settings;
  if (!o.adapt.empty()) {
    settings.insert(settings.begin(),
                    {"student.init=adapt", "student.model=" + dump_json(Json(model_at(o.adapt)))});
  }
  const Recipe recipe = read_recipe(o.recipe, settings);
  RunOptions options;
  options.directory = o.directory;
  options.resume = o.resume;
  options.overwrite = o.overwrite;
  options.program = shell_quoted(invocation.program());
  for (const std::string& argument : invocation.arguments) {
    options.command += (options.command.empty() ? "" : " ") + shell_quoted(argument);
  }
  remark_on_model(recipe.student.model);
  const Stopwatch watch;
  if (recipe.adapts()) {
    if (!o.signals.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "[--signals] student.init = \"adapt\" learns from the model's own copy");
    }
    const AdaptationReport report = run_adaptation(recipe, options);
    if (o.json) {
      OrderedJson json{{"model", o.directory}, {"seconds", watch.seconds()}};
      json.update(to_json(report));
      print_json(json);
      return;
    }
    print_result(
        fmt::format("{}{} parameters in {}, after {}\nTry it:\n  {} generate {} --prompt ... "
                    "--decode speculative\n",
                    in_words(report), report.parameters, o.directory,
                    format_duration(watch.seconds()), options.program, shell_quoted(o.directory)));
    return;
  }
  const DataReport data = run_training(recipe, o.signals, options);
  const int64_t parameters = read_model_config(o.directory).parameters();
  if (o.json) {
    print_json(OrderedJson{{"model", o.directory},
                           {"parameters", parameters},
                           {"seconds", watch.seconds()},
                           {"data", OrderedJson(to_json(data))}});
    return;
  }
  print_result(
      fmt::format("{} parameters in {}, after {}\nTry it:\n  {} generate {} --prompt ...\n"
                  "Score it on what it has not seen:\n  {} eval {} --data {}/held_out.jsonl\n",
                  parameters, o.directory, format_duration(watch.seconds()), options.program,
                  shell_quoted(o.directory), options.program, shell_quoted(o.directory),
                  shell_quoted(o.directory)));
}

}  // namespace

void add_train(CLI::App& app, Invocation& invocation) {
  add_verb<TrainArguments>(app, invocation, "train", "Train the student of a recipe alone",
                           kTrainExample, bind, act);
}

}  // namespace alambic
