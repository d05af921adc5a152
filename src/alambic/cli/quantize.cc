// alambic quantize: a model's weights in 8 or 4 bits, and what that cost.
#include <fmt/format.h>

#include <cmath>

#include "alambic/base/interrupt.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/base/workplace.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/data/readers.h"
#include "alambic/data/trained_on.h"
#include "alambic/decode/prompting.h"
#include "alambic/eval/report.h"
#include "alambic/eval/task.h"
#include "alambic/models/what_lies_at.h"

namespace alambic {
namespace {

constexpr const char* kQuantizeExample =
    "  alambic quantize runs/quickstart/student --weights int8 --out student-int8\n"
    "  alambic quantize MODEL --weights int4 --out MODEL-int4 --calibrate train.jsonl --check "
    "dev.jsonl";

struct QuantizeArguments {
  std::string model, weights, out, calibrate, check;
  int calibrate_rows = 128, check_rows = 128;
  bool json = false;
};

void bind(CLI::App& verb, QuantizeArguments& o) {
  verb.add_option("model", o.model, "Model directory")->required()->type_name("MODEL");
  verb.add_option("--weights", o.weights, "int8 (groups of 64) or int4 (groups of 32)")
      ->required()
      ->check(CLI::IsMember({"int8", "int4"}));
  verb.add_option("--out", o.out, "Directory to write")->required()->type_name("DIR");
  verb.add_option("--calibrate", o.calibrate,
                  "Text like the model's own: rounding then makes up for its errors on it")
      ->type_name("FILE.jsonl");
  verb.add_option("--calibrate-rows", o.calibrate_rows, "Calibrate with the first so many rows")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_option("--check", o.check,
                  "Text to measure the loss on; default: the rows of --calibrate behind those that "
                  "were used, else what the model writes itself")
      ->type_name("FILE.jsonl");
  verb.add_option("--check-rows", o.check_rows, "Measure on the first so many rows")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb.add_flag("--json", o.json, "One JSON object");
}

std::vector<Example> texts_of(const std::string& path) {
  DataSource source;
  source.path = path;
  std::vector<Example> examples = read_examples(source);
  std::erase_if(examples, [](const Example& e) { return e.completion.empty(); });
  if (examples.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] holds no text; want rows with a completion or a text",
         path);
  }
  return examples;
}

void check_places(const QuantizeArguments& o) {
  if (stored_format(o.model)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] is quantised already; start from the model in floating point", o.model);
  }
  if (is_model(o.out)) {
    fail(ErrorCode::kInvalidArgument, "[--out] {} holds a model already; name another directory",
         o.out);
  }
  check_free(o.out, Made::kDirectory);
}

void check_finite(LanguageModel& model, const std::string& directory) {
  model.visit([&](Parameter& p) {
    const auto values = p.value.values();
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      fail(ErrorCode::kCorruptData, "[{}] {} holds numbers that are not finite", directory, p.name);
    }
  });
}

// Prompt and completion as the model was trained to read them, cut to a bearable length.
std::vector<std::vector<TokenId>> encoded(const OpenModel& open, std::span<const Example> rows) {
  constexpr int kLongest = 1024;
  const auto room = static_cast<size_t>(std::min(kLongest, open.model().config().max_positions));
  std::vector<std::vector<TokenId>> texts;
  for (const Example& row : rows) {
    std::vector<TokenId> tokens = encode_prompt(open.tokenizer, open.card(), row.prompt);
    const auto answer =
        open.tokenizer.encode(row.completion, {.special_prefix = false, .parse_special = false});
    tokens.insert(tokens.end(), answer.begin(), answer.end());
    if (tokens.size() > room) tokens.resize(room);
    texts.push_back(std::move(tokens));
  }
  return texts;
}

// What the model itself writes, drawn at temperature 1: better than nothing to compare on.
std::vector<Example> own_texts(const OpenModel& open) {
  constexpr int kTexts = 32, kTokens = 64;
  GenerateOptions options;
  options.max_tokens = kTokens;
  options.temperature = 1;
  options.stop = stop_tokens(open.tokenizer, open.model().config());
  options.vocabulary = open.tokenizer.vocab_size();
  std::vector<Prompt> prompts;
  for (uint64_t i = 0; i < kTexts; ++i)
    prompts.push_back({encode_prompt(open.tokenizer, open.card(), ""), i});
  std::vector<Example> examples;
  for (const Generation& text :
       generate_all(DecodeMode::kAutoregressive, open.model(), prompts, options)) {
    Example example{"", open.tokenizer.decode(text.tokens), std::to_string(examples.size() + 1)};
    if (!example.completion.empty()) examples.push_back(std::move(example));
  }
  return examples;
}

// Text to calibrate with, text to compare on, and what to call the latter.
struct Texts {
  std::vector<std::vector<TokenId>> calibration;
  int64_t calibration_tokens = 0;
  std::vector<Example> check;
  std::string check_name;
};

// What the files hold, read before anything else is done.
struct Files {
  std::vector<Example> calibrate, check;
};

Texts prepare_texts(const QuantizeArguments& o, Files files, const OpenModel& open) {
  Texts texts;
  std::vector<Example> rest;
  if (!o.calibrate.empty()) {
    rest = std::move(files.calibrate);
    const size_t used = std::min(rest.size(), static_cast<size_t>(o.calibrate_rows));
    texts.calibration = encoded(open, {rest.data(), used});
    for (const auto& text : texts.calibration)
      texts.calibration_tokens += static_cast<int64_t>(text.size());
    texts.check_name = o.calibrate + ", rows that were not calibrated on";
    if (used < rest.size()) {
      rest.erase(rest.begin(), rest.begin() + static_cast<int64_t>(used));
    } else {
      texts.check_name = o.calibrate + ", which was calibrated on";
    }
  }
  if (!o.check.empty()) {
    rest = std::move(files.check);
    texts.check_name = o.check;
  } else if (rest.empty()) {
    rest = own_texts(open);
    texts.check_name = "what the model writes itself";
  }
  if (rest.size() > static_cast<size_t>(o.check_rows))
    rest.resize(static_cast<size_t>(o.check_rows));
  texts.check = std::move(rest);
  return texts;
}

QuantizedWeights quantize_model(const QuantizeArguments& o, OpenModel& open, const Texts& texts) {
  constexpr int64_t kSteps = 1000;
  Progress progress("quantize", kSteps);
  QuantizeOptions options;
  options.format = *format_from_name(o.weights);
  options.texts = texts.calibration;
  options.progress = [&](double done) {
    throw_if_interrupted("quantize", "nothing was written");
    progress.update(static_cast<int64_t>(done * kSteps));
  };
  return quantize(*open.loaded.model, options);
}

// How long both models write the same, each choosing its most probable token at every step: a first
// difference usually changes all that follows.
struct SameText {
  size_t texts = 0, identical = 0;
  double share = 0;  // of the original's tokens, up to the first difference
};

SameText same_greedy_text(const OpenModel& before, const OpenModel& after,
                          std::span<const Example> rows) {
  constexpr size_t kTexts = 32, kOpening = 16;
  constexpr int kTokens = 64;
  std::vector<Prompt> prompts;
  for (const Example& row : rows.first(std::min(rows.size(), kTexts))) {
    Prompt prompt{encode_prompt(before.tokenizer, before.card(), row.prompt)};
    if (row.prompt.empty()) {  // the beginning of the text, for the models to go on from
      const auto text = before.tokenizer.encode(row.completion,
                                                {.special_prefix = false, .parse_special = false});
      prompt.tokens.insert(
          prompt.tokens.end(), text.begin(),
          text.begin() + static_cast<std::ptrdiff_t>(std::min(text.size(), kOpening)));
    }
    if (static_cast<int>(prompt.tokens.size()) < before.model().config().max_positions)
      prompts.push_back(std::move(prompt));
  }
  GenerateOptions options;
  options.max_tokens = kTokens;
  options.stop = stop_tokens(before.tokenizer, before.model().config());
  options.vocabulary = before.tokenizer.vocab_size();
  options.precision = Precision::kBf16;
  const auto write = [&](const OpenModel& open) {
    return generate_all(DecodeMode::kAutoregressive, open.model(), prompts, options);
  };
  const std::vector<Generation> original = write(before), now = write(after);
  SameText same{prompts.size()};
  int64_t tokens = 0, agreed = 0;
  for (size_t i = 0; i < original.size(); ++i) {
    const std::vector<TokenId>&a = original[i].tokens, &b = now[i].tokens;
    if (a == b) ++same.identical;
    const size_t room = std::min(a.size(), b.size());
    const auto differs =
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(room), b.begin()).first;
    agreed += differs - a.begin();
    tokens += static_cast<int64_t>(a.size());
  }
  same.share = tokens > 0 ? static_cast<double>(agreed) / static_cast<double>(tokens) : 1;
  return same;
}

OrderedJson compared(const OpenModel& before, const OpenModel& after, const Texts& texts) {
  OrderedJson result = OrderedJson::object();
  result["text"] = texts.check_name;
  result["rows"] = texts.check.size();
  if (texts.check.empty()) return result;
  const auto score = [&](Task task, const OpenModel& open) {
    return run_task(task, open.model(), open.tokenizer, open.card(), texts.check,
                    {.generate = {.max_tokens = 160,
                                  .precision = Precision::kBf16,
                                  .block = open.card().block}})
        .score.value;
  };
  const double old_perplexity = score(Task::kPerplexity, before);
  const double new_perplexity = score(Task::kPerplexity, after);
  result["perplexity_before"] = old_perplexity;
  result["perplexity_after"] = new_perplexity;
  result["perplexity_change"] = new_perplexity / old_perplexity - 1;
  const bool prompted = std::any_of(texts.check.begin(), texts.check.end(),
                                    [](const Example& e) { return !e.prompt.empty(); });
  if (!before.card().task.empty() && prompted) {
    const Task task = task_from_name(before.card().task);
    if (task != Task::kPerplexity) {
      result["task"] = traits(task).name;
      result["score_before"] = score(task, before);
      result["score_after"] = score(task, after);
    }
  }
  result["agreement"] = agreement(before.model(), after.model(), before.tokenizer, before.card(),
                                  texts.check, Precision::kBf16)
                            .value;
  const SameText same = same_greedy_text(before, after, texts.check);
  result["greedy_texts"] = same.texts;
  result["greedy_texts_identical"] = same.identical;
  result["greedy_text_kept"] = same.share;
  return result;
}

std::string cost_in_words(const OrderedJson& r) {
  const OrderedJson& bytes = r.at("bytes");
  const OrderedJson& cost = r.at("cost");
  const auto before = bytes.at("bf16").get<double>(), after = bytes.at("after").get<double>();
  // Scales and tables outweigh what a very small model saves.
  const bool smaller = after < before;
  std::string text = fmt::format(
      "{}: {} weights, {}; {} in bf16, {} now ({:.2f} times {})\n", r.at("out").get<std::string>(),
      r.at("weights").get<std::string>(),
      r.at("calibrated").get<bool>() ? "calibrated" : "rounded plainly",
      format_bytes(bytes.at("bf16").get<int64_t>()), format_bytes(bytes.at("after").get<int64_t>()),
      smaller ? before / after : after / before, smaller ? "smaller" : "larger");
  text += fmt::format("measured on {} ({})\n", cost.at("text").get<std::string>(),
                      counted(cost.at("rows").get<int64_t>(), "row"));
  if (!cost.contains("agreement")) return text;
  if (!std::isfinite(cost.at("perplexity_change").get<double>()))
    return text + "which leaves nothing to predict: what it cost is not known\n";
  text += fmt::format("perplexity {:.4f} before, {:.4f} after: {:+.2f} %\n",
                      cost.at("perplexity_before").get<double>(),
                      cost.at("perplexity_after").get<double>(),
                      100 * cost.at("perplexity_change").get<double>());
  if (cost.contains("task")) {
    text +=
        fmt::format("{} {:.4f} before, {:.4f} after\n", cost.at("task").get<std::string>(),
                    cost.at("score_before").get<double>(), cost.at("score_after").get<double>());
  }
  text += fmt::format("greedy choice of the next token unchanged at {:.2f} % of the places\n",
                      100 * cost.at("agreement").get<double>());
  return text + fmt::format(
                    "greedy texts: {} of {} the same; up to the first difference, {:.1f} % of the "
                    "tokens\n",
                    cost.at("greedy_texts_identical").get<int64_t>(),
                    cost.at("greedy_texts").get<int64_t>(),
                    100 * cost.at("greedy_text_kept").get<double>());
}

void act(const QuantizeArguments& given, const Invocation&) {
  QuantizeArguments o = given;
  o.model = model_at(o.model);
  check_places(o);
  Heartbeat beat("quantize");
  Files files;
  if (!o.calibrate.empty()) files.calibrate = texts_of(o.calibrate);
  if (!o.check.empty()) files.check = texts_of(o.check);
  OrderedJson result;
  make_beside(o.out, Made::kDirectory, [&](const std::string& path) {
    const Stopwatch watch;
    OpenModel before = open_model_in_floats(o.model);
    check_finite(*before.loaded.model, o.model);
    const Texts texts = prepare_texts(o, std::move(files), before);
    const bool calibrated = !texts.calibration.empty();
    {
      const QuantizedWeights weights = quantize_model(o, before, texts);
      write_tokenizer(before.tokenizer, o.model, path);
      carry_trained_on(o.model, path);
      save_quantized_model(*before.loaded.model, weights, calibrated, before.card(), path);
    }
    const double seconds = watch.seconds();
    // Both as they are used: in bf16, which is what the original is worth at half its size.
    freeze_for_inference(*before.loaded.model, Precision::kBf16);
    const OpenModel after = open_model(path, Precision::kBf16);
    result = {{"model", o.model},
              {"out", o.out},
              {"weights", o.weights},
              {"calibrated", calibrated},
              {"calibration_tokens", texts.calibration_tokens},
              {"bytes",
               {{"before", before.loaded.file_bytes},
                {"bf16", 2 * before.model().config().parameters()},
                {"after", after.loaded.file_bytes}}},
              {"seconds", seconds},
              {"cost", compared(before, after, texts)}};
    throw_if_interrupted("quantize", "nothing was written");
  });
  beat.end();
  if (o.json) {
    print_json(result);
  } else {
    print_result(cost_in_words(result));
  }
}

}  // namespace

void add_quantize(CLI::App& app, Invocation& invocation) {
  add_verb<QuantizeArguments>(app, invocation, "quantize",
                              "Write a model with weights of 8 or 4 bits", kQuantizeExample, bind,
                              act);
}

}  // namespace alambic
