// alambic generate: text from a model.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "alambic/base/file.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/cli/checks.h"
#include "alambic/cli/data_options.h"
#include "alambic/cli/decode_options.h"
#include "alambic/cli/linear.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/cli/watch.h"
#include "alambic/data/readers.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/prompting.h"
#include "alambic/distill/asking.h"
#include "alambic/eval/drafts.h"
#include "alambic/models/what_lies_at.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr const char* kGenerateExample =
    "  alambic generate runs/quickstart/student --prompt 'Hello, my kettle leaks.' --decode "
    "speculative\n"
    "  alambic generate MODEL --prompts questions.jsonl --json > answers.jsonl";

struct GenerateArguments {
  std::string model, prompt, prompts, suffix, precision, chat_template;
  bool json = false, raw = false, free = false, watch = false;
  DecodeArguments decode;
  const CLI::App* verb = nullptr;  // for what was typed
};

void bind(CLI::App& verb, GenerateArguments& o) {
  o.verb = &verb;
  verb.add_option("model", o.model, "Model directory")->required()->type_name("MODEL");
  auto* source = verb.add_option_group("prompt");
  source->add_option("--prompt", o.prompt, "The prompt")->type_name("TEXT");
  source->add_option("--prompts", o.prompts, "Rows with a prompt each")->type_name("FILE.jsonl");
  source->require_option(1);
  add_decode_options(verb, o.decode);
  verb.add_option("--temperature", o.decode.generate.temperature,
                  "0 always writes the most probable token")
      ->check(number_within(0, 100))
      ->capture_default_str();
  verb.add_option("--top-k", o.decode.generate.top_k,
                  "Draw among the k most probable tokens; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  verb.add_option("--top-p", o.decode.generate.top_p,
                  "Draw among the most probable tokens that hold this share")
      ->check(number_within(0, 1))
      ->capture_default_str();
  add_seed_option(verb, o.decode.generate.seed, "Seed of the draws");
  verb.add_option("--suffix", o.suffix,
                  "Diffusion: write exactly --max-tokens tokens between the prompt and this text")
      ->type_name("TEXT");
  verb.add_option("--precision", o.precision, kPrecisionHelp)
      ->check(CLI::IsMember({"fp32", "bf16"}));
  add_chat_template_option(verb, o.chat_template);
  verb.add_flag("--raw", o.raw, "Take the prompt as it is, without the model's template");
  verb.add_flag("--free", o.free, "Let a classifier write anything, not only one of its labels");
  auto* json = verb.add_flag("--json", o.json, "One JSON object a line");
  verb.add_flag("--watch", o.watch,
                "Draw the text while it is written: masks, new words, corrections")
      ->excludes(json);
}

struct Job {
  const OpenModel& open;
  DecodeMode mode;
  GenerateOptions options;
  Encoder encoder;
};

OrderedJson to_json(const Job& job, const Example& example, const Generation& generation) {
  OrderedJson line = {{"prompt", prompt_to_ask(example)},
                      {"text", job.open.tokenizer.decode(generation.tokens)},
                      {"tokens", generation.tokens},
                      {"decode", name_of(job.mode)},
                      {"forwards", generation.forwards},
                      {"seconds", generation.seconds},
                      {"tokens_per_forward", generation.tokens_per_forward()},
                      {"log_probability", generation.log_probability},
                      {"stopped", generation.stopped},
                      {"in_circles", generation.in_circles}};
  if (!example.id.empty()) line["id"] = example.id;
  return line;
}

Prompt prompt_of(const Job& job, const Example& example, size_t index) {
  const bool turns = example.messages.is_array() && !job.encoder.card().chat_template.empty();
  return {
      turns ? encode_question(job.encoder, example) : job.encoder.prompt(prompt_to_ask(example)),
      index};
}

// In portions, so that a reader of a long file sees lines early and Ctrl-C loses little.
void write_json_lines(const Job& job, const std::vector<Example>& examples) {
  constexpr size_t kPortion = 32;
  Progress progress("generate", static_cast<int64_t>(examples.size()));
  for (size_t first = 0; first < examples.size(); first += kPortion) {
    const size_t last = std::min(examples.size(), first + kPortion);
    std::vector<Prompt> prompts;
    for (size_t i = first; i < last; ++i) prompts.push_back(prompt_of(job, examples[i], i));
    const auto generations = generate_all(job.mode, job.open.model(), prompts, job.options);
    std::string lines;
    for (size_t i = first; i < last; ++i) {
      lines += dump_json(to_json(job, examples[i], generations[i - first])) + "\n";
    }
    print_result(lines);
    progress.update(static_cast<int64_t>(last));
  }
}

void remark(const Job& job, const Generation& g) {
  if (g.in_circles) print_remark("the text said the same over and over, and was cut there");
  const std::string drafts = drafts_in_words(g.drafts);
  print_remark(fmt::format("{} · {:.0f} tokens/s · {:.2f} tokens per forward ({}){}",
                           counted(static_cast<long long>(g.tokens.size()), "token"),
                           static_cast<double>(g.tokens.size()) / std::max(1e-9, g.seconds),
                           g.tokens_per_forward(), name_of(job.mode),
                           drafts.empty() ? "" : " · drafts accepted, by distance: " + drafts));
}

void stream_texts(const Job& job, const std::vector<Example>& examples) {
  const auto decoder = make_decoder(job.mode, job.open.model());
  for (size_t i = 0; i < examples.size(); ++i) {
    StreamDecoder stream(job.open.tokenizer);
    const Generation g =
        decoder->generate(prompt_of(job, examples[i], i), job.options, [&](TokenId token) {
          print_result(stream.push(token));
          return !interrupted();
        });
    print_result(stream.finish() + "\n");
    throw_if_interrupted("generate", "the text above is not complete");
    remark(job, g);
  }
}

void watch_texts(Job job, const std::vector<Example>& examples) {
  const auto decoder = make_decoder(job.mode, job.open.model());
  for (size_t i = 0; i < examples.size(); ++i) {
    Watch watch(job.open.tokenizer, job.open.model().config().mask);
    job.options.watch = &watch.sink();
    const Generation g = decoder->generate(prompt_of(job, examples[i], i), job.options,
                                           [](TokenId) { return !interrupted(); });
    throw_if_interrupted("generate", "the text above is not complete");
    watch.sink()({g.tokens, {}, g.forwards});
    watch.finish();
    remark(job, g);
  }
}

// A row that holds only text is a prompt here.
std::vector<Example> prompts_in(const std::string& path) {
  auto examples = read_examples_aloud({.format = "jsonl", .path = path, .prompts_only = true});
  for (Example& example : examples) {
    if (example.prompt.empty() && example.messages.is_null())
      std::swap(example.prompt, example.completion);
  }
  return examples;
}

// The label of each prompt, a line each.
void label_prompts(const GenerateArguments& o, std::span<const Example> examples) {
  const LinearClassifier classifier =
      open_linear(*o.verb, o.model, {"--prompt", "--prompts", "--raw", "--json"});
  std::vector<std::string> prompts;
  for (const Example& e : examples) prompts.push_back(prompt_to_ask(e));
  remark_long_texts(prompts);
  for (size_t i = 0; i < examples.size(); ++i) {
    throw_if_interrupted("generate", "the labels above are whole");
    const Stopwatch watch;
    const std::vector<double> logs = classifier.log_probabilities(prompts[i]);
    const auto best = std::max_element(logs.begin(), logs.end());
    const std::string& label = classifier.classes()[static_cast<size_t>(best - logs.begin())];
    if (!o.json) {
      print_result(label + "\n");
      continue;
    }
    OrderedJson line = {{"prompt", prompts[i]},     {"text", label},
                        {"decode", "linear"},       {"seconds", watch.seconds()},
                        {"log_probability", *best}, {"stopped", true}};
    if (!examples[i].id.empty()) line["id"] = examples[i].id;
    print_json(line);
  }
}

void act(const GenerateArguments& given, const Invocation&) {
  GenerateArguments o = given;
  const bool linear = is_linear_classifier(o.model);
  if (!linear) o.model = model_at(o.model);
  for (const auto& [option, text] :
       {std::pair{"--prompt", &o.prompt}, std::pair{"--suffix", &o.suffix}}) {
    const size_t valid = valid_utf8_prefix(*text);
    if (valid == text->size()) continue;
    fail(ErrorCode::kInvalidArgument,
         "[{}] is not UTF-8 at byte {}; want text in UTF-8, or rows of a file with --prompts",
         option, valid + 1);
  }
  std::vector<Example> examples{{o.prompt, "", ""}};
  if (!o.prompts.empty()) examples = prompts_in(o.prompts);
  if (linear) return label_prompts(o, examples);
  const Precision precision = precision_from_name(o.precision, o.model);
  const OpenModel open = [&] {
    const Heartbeat beat("reading the model");
    return open_model(o.model, precision);
  }();
  auto [mode, options] = decode_settings(o.decode, open.card(), open.model().config());
  options.precision = precision;
  options.stop = stop_tokens(open.tokenizer, open.model().config());
  options.vocabulary = open.tokenizer.vocab_size();
  if (!o.suffix.empty()) {
    if (mode != DecodeMode::kDiffusion) {
      fail(ErrorCode::kInvalidArgument, "[--suffix] only diffusion sees what follows; add {}",
           "--decode diffusion");
    }
    if (!open.model().config().causal) {
      fail(ErrorCode::kInvalidArgument,
           "[--suffix] in a bidirectional model the prompt itself holds the masks to be filled");
    }
    options.suffix = open.tokenizer.encode(o.suffix, {.special_prefix = false});
  }
  ModelCard card = open.card();
  use_chat_template(o.chat_template, o.model, card);
  if (o.raw) {
    card.prompt_template = "{prompt}";
    card.chat_template = card.tool_use_template = "";
    card.blank.clear();
    card.task.clear();
  }
  Job job{open, mode, options, Encoder(open.tokenizer, card)};
  std::optional<TokenTrie> labels;
  if (!open.card().labels.empty() && !o.free && job.mode != DecodeMode::kDiffusion) {
    job.options.constraint = &labels.emplace(label_set(open));
  }
  if (o.json) {
    write_json_lines(job, examples);
  } else if (o.watch) {
    watch_texts(job, examples);
  } else {
    stream_texts(job, examples);
  }
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
  add_verb<GenerateArguments>(app, invocation, "generate", "Write text with a model",
                              kGenerateExample, bind, act);
}

}  // namespace alambic
