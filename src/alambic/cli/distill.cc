// alambic distill: the whole run that a recipe describes.
#include <fmt/format.h>

#include "alambic/base/printable.h"
#include "alambic/base/shell.h"
#include "alambic/cli/checks.h"
#include "alambic/cli/model_notes.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/distill/run.h"

namespace alambic {
namespace {

constexpr const char* kDistillExample =
    "  alambic distill examples/quickstart.toml\n"
    "  alambic distill my.toml --set data.train=mails.jsonl --set student.dim=96 --run-dir "
    "runs/mine --resume";

struct DistillArguments {
  std::string recipe, directory;
  std::vector<std::string> settings, arms;
  bool resume = false, overwrite = false, json = false, print_recipe = false;
};

void bind(CLI::App& verb, DistillArguments& o) {
  verb.add_option("recipe", o.recipe, "Recipe; see --print-recipe")->type_name("RECIPE.toml");
  verb.add_option("--set", o.settings, "Override a key of the recipe; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_option("--run-dir", o.directory, "Where the run lives; default: runs/NAME of the recipe")
      ->check(not_empty())
      ->type_name("DIR");
  verb.add_option("--arms", o.arms,
                  "Which trainings to compare beside control and student: start, texts, on_policy; "
                  "default: all that differ")
      ->delimiter(',')
      ->type_name("NAMES");
  auto* resume =
      verb.add_flag("--resume", o.resume, "Go on with an interrupted run, to the same result");
  verb.add_flag("--overwrite", o.overwrite, "Start anew in a directory that holds a run")
      ->excludes(resume);
  verb.add_flag("--json", o.json, "Print report.json instead of the table");
  verb.add_flag("--print-recipe", o.print_recipe, "Print the recipe with every key, and exit");
}

std::string default_directory(const Recipe& recipe) {
  const std::string& name = recipe.name;
  if (name.empty() || name.find('/') != std::string::npos || name.starts_with(".")) {
    fail(ErrorCode::kInvalidArgument,
         "[recipe] name = \"{}\" names no directory under runs/; use --run-dir", name);
  }
  return "runs/" + name;
}

void act(const DistillArguments& o, const Invocation& invocation) {
  if (o.recipe.empty() && !o.print_recipe) {
    fail(ErrorCode::kInvalidArgument,
         "[distill] got no recipe; want RECIPE.toml (--print-recipe shows one)");
  }
  const Recipe recipe = read_recipe(o.recipe, o.settings);
  if (o.print_recipe) {
    print_result(recipe_to_toml(recipe));
    return;
  }
  RunOptions options;
  options.directory = o.directory.empty() ? default_directory(recipe) : o.directory;
  options.resume = o.resume;
  options.overwrite = o.overwrite;
  options.arms = o.arms;
  options.program = shell_quoted(invocation.program());
  for (const std::string& argument : invocation.arguments) {
    options.command += (options.command.empty() ? "" : " ") + shell_quoted(argument);
  }
  if (!recipe.has_endpoint()) remark_on_model(recipe.teacher.model);
  remark_on_model(recipe.student.model);
  const RunReport report = run_distillation(recipe, options);
  if (o.json) {
    print_json(to_json(report), 2);
    return;
  }
  print_result(printable_lines(to_terminal(report)) +
               fmt::format("\nreport: {}/report.html\n", options.directory));
}

}  // namespace

void add_distill(CLI::App& app, Invocation& invocation) {
  add_verb<DistillArguments>(app, invocation, "distill",
                             "Make a small model from a large one, and report", kDistillExample,
                             bind, act);
}

}  // namespace alambic
