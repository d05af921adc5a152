// alambic eval: a model's score on a file of examples.
#include <fmt/format.h>

#include <cmath>

#include "alambic/base/file.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/cli/data_options.h"
#include "alambic/cli/decode_options.h"
#include "alambic/cli/linear.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/data/data_report.h"
#include "alambic/data/readers.h"
#include "alambic/data/trained_on.h"
#include "alambic/eval/drafts.h"
#include "alambic/eval/task.h"
#include "alambic/models/what_lies_at.h"

namespace alambic {
namespace {

constexpr const char* kEvalExample =
    "  alambic eval runs/translate/student --task bleu --data val.en --target val.fr\n"
    "  alambic eval MODEL --task accuracy --data test.csv --prompt-field text --completion-field "
    "category --json";

struct EvalArguments {
  std::string model, task, precision, outputs, chat_template;
  DataSource data;
  DecodeArguments decode;
  int batch = 32;
  bool json = false;
  const CLI::App* verb = nullptr;  // for what was typed
};

void bind(CLI::App& verb, EvalArguments& o) {
  o.verb = &verb;
  verb.add_option("model", o.model, "Model directory")->required()->type_name("MODEL");
  verb.add_option("--task", o.task, "What to score; default: what the model was trained for")
      ->check(
          CLI::IsMember({"bleu", "accuracy", "exact", "slots", "rouge", "perplexity", "solved"}));
  add_data_options(verb, o.data);
  o.decode.generate.max_tokens = 160;
  add_decode_options(verb, o.decode);
  verb.add_option("--batch", o.batch, "Prompts at a time; 1 measures the speed that one user sees")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  add_chat_template_option(verb, o.chat_template);
  verb.add_option("--precision", o.precision, kPrecisionHelp)
      ->check(CLI::IsMember({"fp32", "bf16"}));
  verb.add_option("--outputs", o.outputs,
                  "Also write prompt, reference and answer of every example here")
      ->type_name("FILE.jsonl");
  verb.add_flag("--json", o.json, "One JSON object");
}

Task task_of(const EvalArguments& o, const ModelCard& card) {
  if (!o.task.empty()) return task_from_name(o.task);
  if (card.task.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] does not say what it was trained for; name a --task",
         o.model);
  }
  return task_from_name(card.task);
}

void write_outputs(const std::string& path, std::span<const Example> examples,
                   std::span<const std::string> answers) {
  std::string lines;
  for (size_t i = 0; i < answers.size(); ++i) {
    lines += dump_json(OrderedJson{{"id", examples[i].id},
                                   {"prompt", examples[i].prompt},
                                   {"reference", examples[i].completion},
                                   {"answer", answers[i]}}) +
             "\n";
  }
  write_file_atomic(path, lines);
}

std::string score_in_words(const TaskTraits& task, const Score& score) {
  const double factor = task.fraction ? 100 : 1;
  return fmt::format("{} {:.2f}{}  (95 % interval {:.2f} to {:.2f}, {})\n", task.metric,
                     factor * score.value, task.fraction ? " %" : "", factor * score.interval.low,
                     factor * score.interval.high, counted(score.n, "example"));
}

std::string in_words(const TaskTraits& task, const TaskResult& result, const std::string& decode) {
  std::string text = score_in_words(task, result.score);
  text += fmt::format("{} tokens in {:.1f} s: {:.0f} tokens/s, {:.2f} tokens per forward ({})\n",
                      result.tokens, result.seconds, result.tokens_per_s(),
                      result.tokens_per_forward(), decode);
  if (result.windows > 0) {
    text += fmt::format("{} longer than the model's positions {} read in {} windows\n",
                        counted(result.long_texts, "text"), result.long_texts == 1 ? "was" : "were",
                        result.windows);
  }
  if (const std::string shares = drafts_in_words(result.drafts); !shares.empty())
    text += fmt::format("drafts that stood, by distance: {}\n", shares);
  return text;
}

constexpr size_t kNamedRows = 10;

// Rows that cannot be read, by name; the first of many.
void remark_unread(const TaskResult& result) {
  if (result.unread.empty()) return;
  const bool one = result.unread.size() == 1;
  const char* fate = result.answers.empty() ? (one ? "is left out" : "are left out")
                                            : (one ? "counts as wrong" : "count as wrong");
  print_remark(fmt::format("{} cannot be read and {}:",
                           counted(static_cast<long long>(result.unread.size()), "row"), fate));
  for (size_t i = 0; i < std::min(kNamedRows, result.unread.size()); ++i)
    print_remark("  " + in_words(result.unread[i]));
}

OrderedJson unread_json(const TaskResult& result) {
  OrderedJson rows = OrderedJson::array();
  for (size_t i = 0; i < std::min(kNamedRows, result.unread.size()); ++i) {
    const LeftOut& row = result.unread[i];
    rows.push_back(
        {{"where", row.where}, {"reason", reason_name(row.reason)}, {"detail", row.detail}});
  }
  return rows;
}

// Rows with an answer to compare with; the others are left out, by name.
std::vector<Example> answered_examples(const DataSource& source) {
  std::vector<LeftOut> left_out;
  std::vector<Example> examples = read_examples(source, &left_out);
  for (const Example& e : examples) {
    if (!e.completion.empty()) continue;
    left_out.push_back(
        {LeftOut::Reason::kNoAnswer, place_of(e), e.messages.is_null() ? "" : "no assistant turn"});
  }
  if (std::erase_if(examples, [](const Example& e) { return e.completion.empty(); }) > 0 &&
      examples.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] no row has an answer to compare with; name its field with {}", source.path,
         "--completion-field");
  }
  LeftOutCounts counts;
  counts.add(left_out);
  for (const std::string& line : counts.in_words()) print_remark("left out: " + line);
  return examples;
}

// A text file is not one text, which changes what its perplexity means.
void remark_lines(const DataSource& source, std::span<const Example> examples) {
  const bool lines = source.format == "text" ||
                     (source.format == "auto" && source.target_path.empty() &&
                      (source.path.ends_with(".txt") || source.path.ends_with(".txt.gz")));
  if (!lines || examples.size() < 2) return;
  print_remark(fmt::format(
      "note: [{}] each of its {} lines is a text of its own, read without the lines before it; one "
      "long text is a row of a .jsonl file, {{\"text\": …}}",
      source.path, examples.size()));
}

std::optional<SeenInTraining> remark_seen(const std::string& model, const DataSource& data,
                                          std::span<const Example> examples) {
  std::optional<SeenInTraining> seen = seen_in_training(model, data.path, examples);
  if (seen && (seen->same_file || seen->rows > 0)) {
    print_remark(fmt::format(
        "[{}] {}{} of {} rows were among what this model was trained on: the score says little "
        "about new ones",
        data.path, seen->same_file ? "is a file of the training data; " : "", seen->rows,
        examples.size()));
  }
  return seen;
}

// What every answer to `eval --json` begins with.
OrderedJson score_json(Task task, const Score& score, double seconds) {
  return {{"task", traits(task).name},
          {"metric", traits(task).metric},
          {"score", score.value},
          {"interval", {score.interval.low, score.interval.high}},
          {"n", score.n},
          {"seconds", seconds}};
}

void eval_linear(const EvalArguments& o) {
  const LinearClassifier classifier =
      open_linear(*o.verb, o.model,
                  {"--task", "--data", "--target", "--format", "--encoding", "--prompt-field",
                   "--completion-field", "--limit", "--outputs", "--json"});
  const Task task = task_from_name(o.task.empty() ? "accuracy" : o.task);
  if (task == Task::kPerplexity) {
    fail(ErrorCode::kUnsupported,
         "[{}] a linear classifier answers with labels and gives texts no perplexity; want --task "
         "accuracy",
         o.model);
  }
  const std::vector<Example> examples = answered_examples(o.data);
  const std::optional<SeenInTraining> seen = remark_seen(o.model, o.data, examples);
  std::vector<std::string> prompts, answers;
  for (const Example& e : examples) prompts.push_back(e.prompt);
  remark_long_texts(prompts);
  const Stopwatch watch;
  answers.reserve(prompts.size());
  for (const std::string& prompt : prompts) answers.push_back(classifier.predict(prompt));
  const double seconds = watch.seconds();
  const Score score = score_of(score_answers(task, answers, examples));
  if (!o.outputs.empty()) write_outputs(o.outputs, examples, answers);
  if (!o.json) {
    print_result(score_in_words(traits(task), score) +
                 fmt::format("{} in {:.2f} s, by a linear classifier\n",
                             counted(static_cast<long long>(answers.size()), "label"), seconds));
    return;
  }
  OrderedJson json = score_json(task, score, seconds);
  json["decode"] = "linear";
  if (seen) json["seen_in_training"] = seen->rows;
  json["unread"] = 0;
  json["unread_rows"] = OrderedJson::array();
  print_json(json);
}

void act(const EvalArguments& given, const Invocation&) {
  EvalArguments o = given;
  if (is_linear_classifier(o.model)) return eval_linear(o);
  o.model = model_at(o.model);
  ModelCard card;
  read_model_config(o.model, &card);
  const Task task = task_of(o, card);
  if (task == Task::kPerplexity && !o.outputs.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[--outputs] perplexity writes no answers; leave --outputs out");
  }
  const std::vector<Example> examples = answered_examples(o.data);
  if (task == Task::kPerplexity) remark_lines(o.data, examples);
  const std::optional<SeenInTraining> seen = remark_seen(o.model, o.data, examples);
  TaskOptions options;
  const Precision precision = precision_from_name(o.precision, o.model);
  Heartbeat beat("eval");
  OpenModel open = open_model(o.model, precision);
  use_chat_template(o.chat_template, o.model, open.loaded.card);
  const DecodeSettings settings = decode_settings(o.decode, open.card(), open.model().config());
  options.mode = settings.mode;
  options.generate = settings.generate;
  options.generate.precision = precision;
  options.batch = o.batch;
  options.progress = "eval";
  const TaskResult result =
      run_task(task, open.model(), open.tokenizer, open.card(), examples, options);
  remark_unread(result);
  if (!std::isfinite(result.score.value)) {
    fail(ErrorCode::kInvalidArgument, "[{}] leaves nothing to predict in {}: there is no score",
         o.data.path, counted(static_cast<long long>(examples.size()), "example"));
  }
  if (!o.outputs.empty()) write_outputs(o.outputs, examples, result.answers);
  beat.end();
  if (!o.json) {
    print_result(in_words(traits(task), result, std::string(name_of(options.mode))));
    return;
  }
  OrderedJson json = score_json(task, result.score, result.seconds);
  json["decode"] = name_of(options.mode);
  json["tokens"] = result.tokens;
  json["forwards"] = result.forwards;
  json["tokens_per_s"] = result.tokens_per_s();
  json["tokens_per_forward"] = result.tokens_per_forward();
  if (seen) json["seen_in_training"] = seen->rows;
  json["unread"] = result.unread.size();
  json["unread_rows"] = unread_json(result);
  if (result.windows > 0) {
    json["long_texts"] = result.long_texts;
    json["windows"] = result.windows;
  }
  if (const OrderedJson drafts = drafts_json(result.drafts); !drafts.empty())
    json["drafts"] = drafts;
  print_json(json);
}

}  // namespace

void add_eval(CLI::App& app, Invocation& invocation) {
  add_verb<EvalArguments>(app, invocation, "eval", "Score a model on examples", kEvalExample, bind,
                          act);
}

}  // namespace alambic
