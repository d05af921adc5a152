#include "alambic/distill/adaptation.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/data/readers.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/own_texts.h"
#include "alambic/distill/run_directory.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/drafts.h"
#include "alambic/eval/task.h"
#include "alambic/models/mask_token.h"

namespace alambic {
namespace {

// What cannot be adapted is refused before anything is loaded.
void check_adaptable(const std::string& model, const ModelConfig& config,
                     const Tokenizer& tokenizer, int max_tokens) {
  if (stored_format(model)) {
    fail(ErrorCode::kUnsupported,
         "[{}] is quantised; adapt the model that it was made of, and quantise the result", model);
  }
  if (!config.causal) {
    fail(ErrorCode::kUnsupported,
         "[{}] a bidirectional diffusion model ({}); only one that runs left to right becomes a "
         "hybrid",
         model, config.family);
  }
  const auto mask = tokenizer.find(kMaskToken);
  if (!mask || *mask > config.vocab_size) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] a tokenizer of {} tokens for a model of {}; {} would leave some without a row",
         model, tokenizer.vocab_size(), config.vocab_size, kMaskToken);
  }
  if (max_tokens > config.max_positions) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] data.max_tokens = {} for a model of {} positions; set it to that at most", model,
         max_tokens, config.max_positions);
  }
}

HybridFigures measure(const LanguageModel& model, const Tokenizer& tokenizer, const ModelCard& card,
                      std::span<const Example> texts, std::span<const Sequence> continued,
                      const Recipe& recipe, const std::string& label) {
  HybridFigures figures;
  TaskOptions ask;
  ask.progress = label;
  figures.perplexity = run_task(Task::kPerplexity, model, tokenizer, card, texts, ask).score;
  std::vector<Prompt> prompts;
  prompts.reserve(continued.size());
  for (const Sequence& s : continued) {
    const auto beginning = text_beginning(s);
    prompts.push_back({{beginning.begin(), beginning.end()}, prompts.size()});
  }
  GenerateOptions generate;
  generate.max_tokens = recipe.eval.max_new_tokens;
  generate.stop = stop_tokens(tokenizer, model.config());
  generate.vocabulary = tokenizer.vocab_size();
  generate.block = std::min(recipe.eval.block, recipe.objective.block);
  generate.drafts = generate.block - 1;  // all that it can, whatever pays on this machine
  int64_t tokens = 0, forwards = 0;
  for (const Generation& text : generate_all(DecodeMode::kSpeculative, model, prompts, generate,
                                             {.batch = 1, .progress = label})) {
    tokens += text.decided;
    forwards += text.forwards;
    add_drafts(figures.drafts, text.drafts);
  }
  figures.tokens_per_forward =
      static_cast<double>(tokens) / static_cast<double>(std::max<int64_t>(1, forwards));
  return figures;
}

OrderedJson figures_json(const HybridFigures& f) {
  return {{"perplexity", f.perplexity.value},
          {"interval", {f.perplexity.interval.low, f.perplexity.interval.high}},
          {"tokens_per_forward", f.tokens_per_forward},
          {"drafts", drafts_json(f.drafts)}};
}

AdaptationReport adapt_in(const Recipe& recipe, RunData data, const Tokenizer& tokenizer,
                          const RunOptions& options) {
  const std::string& model = recipe.student.model;
  write_jsonl(options.directory + "/held_out.jsonl", data.test);
  StudentJob job;
  job.objective = recipe.objective;
  job.card = run_card(recipe, data);
  job.card.block = recipe.objective.block;
  job.card.provenance = {
      {"made by", "alambic train --adapt"}, {"adapted from", model}, {"recipe", recipe.name}};
  const LoadedModel original = load_model(model);
  freeze_for_inference(*original.model, train_precision(recipe.student_train));
  if (recipe.objective.alpha > 0) job.speaker = original.model.get();
  std::vector<LeftOut> left_out, of_validation;
  const TrainingSet set{
      encode_examples(tokenizer, job.card, data.train, recipe.data.max_tokens, &left_out),
      encode_examples(tokenizer, job.card, data.validation, recipe.data.max_tokens,
                      &of_validation)};
  leave_out(data, left_out, of_validation);
  say_data(data);
  std::vector<Sequence> held_out =
      encode_examples(tokenizer, job.card, data.test, recipe.data.max_tokens);
  if (held_out.empty()) {
    fail(ErrorCode::kInvalidArgument, "[data] no held-out text fits in data.max_tokens = {}",
         recipe.data.max_tokens);
  }
  held_out.resize(std::min(held_out.size(), static_cast<size_t>(recipe.eval.speed_prompts)));
  std::vector<Example> texts = data.test;
  const Encoder encoder(tokenizer, job.card);
  std::erase_if(texts, [&](const Example& e) {
    return encode_sequences(encoder, e, recipe.data.max_tokens).sequences.empty();
  });
  RunOptions inside = options;
  const auto directory = std::filesystem::path(options.directory).lexically_normal();
  inside.directory = directory.has_parent_path() ? directory.parent_path().string() : ".";
  job.name = directory.filename().string();
  const RunModel student = make_student(job, recipe, set, tokenizer, inside);
  note_training_data(recipe, data, options.directory);
  const auto start = with_mask_token(*load_model(model).model, *tokenizer.find(kMaskToken));
  freeze_for_inference(*start, Precision::kFp32);
  AdaptationReport report;
  report.parameters = student.model->config().parameters();
  report.texts = static_cast<int>(texts.size());
  report.continued = static_cast<int>(held_out.size());
  report.before = measure(*start, tokenizer, job.card, texts, held_out, recipe, "before");
  report.after = measure(*student.model, tokenizer, job.card, texts, held_out, recipe, "after");
  write_file_atomic(options.directory + "/adaptation.json", dump_json(to_json(report), 2) + "\n");
  return report;
}

}  // namespace

AdaptationReport run_adaptation(const Recipe& recipe, const RunOptions& options) {
  const std::string& model = recipe.student.model;
  const ModelConfig config = read_model_config(model);
  const Tokenizer tokenizer = Tokenizer::load(model).with_special(kMaskToken);
  check_adaptable(model, config, tokenizer, recipe.data.max_tokens);
  check_directory(kTrainingDirectory, training_record(recipe, ""), options);
  check_nothing_read_there(recipe, "", options);
  const Heartbeat beat("adaptation");
  RunData data = load_run_data(recipe);
  AdaptationReport report;
  in_directory(kTrainingDirectory, training_record(recipe, ""), options,
               [&](const RunOptions& inside) {
                 report = adapt_in(recipe, std::move(data), tokenizer, inside);
               });
  return report;
}

OrderedJson to_json(const AdaptationReport& report) {
  return {{"parameters", report.parameters},
          {"texts", report.texts},
          {"continued", report.continued},
          {"before", figures_json(report.before)},
          {"after", figures_json(report.after)}};
}

std::string in_words(const AdaptationReport& report) {
  const auto row = [](const char* name, const HybridFigures& f) {
    return fmt::format("{:8}{:9.3f} ({:.3f} to {:.3f}) {:14.2f}   {}\n", name, f.perplexity.value,
                       f.perplexity.interval.low, f.perplexity.interval.high, f.tokens_per_forward,
                       drafts_in_words(f.drafts));
  };
  return fmt::format("held out: {} texts, {} of them continued by speculative decoding\n",
                     report.texts, report.continued) +
         fmt::format("{:8}{:>9} {:18} {:>14}   {}\n", "", "perplexity", "(95 % interval)",
                     "tokens/forward", "drafts that stood, by distance") +
         row("before", report.before) + row("after", report.after);
}

}  // namespace alambic
