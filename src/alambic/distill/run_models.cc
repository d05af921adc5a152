// Teacher, signals, student and control of a run.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <set>

#include "alambic/base/file.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/run_parts.h"

namespace alambic {
namespace {

constexpr int kMaxLabels = 1000;

std::string checksum(const std::string& text) {
  return fmt::format("{:08x}", ::crc32(0, reinterpret_cast<const Bytef*>(text.data()),
                                       static_cast<uInt>(text.size())));
}

// What a checkpoint must agree with: the recipe and the amount of data.
std::string fingerprint(const Recipe& recipe, const std::string& name, const TrainingSet& set) {
  int64_t tokens = 0;
  for (const Sequence& s : set.sequences) tokens += static_cast<int64_t>(s.tokens.size());
  return fmt::format("{} {} {} {}", name, checksum(recipe_substance(recipe)), set.sequences.size(),
                     tokens);
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

RunModel load_run_model(const std::string& name, const std::string& directory) {
  LoadedModel loaded = load_model(directory);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  return {name, std::move(loaded.model), std::move(loaded.card), loaded.file_bytes,
          stored_curve(directory)};
}

// Trains into `directory` unless a finished model is there, and returns the model as it reads back
// from disk.
RunModel train_or_load(const std::string& name, const ModelConfig& config, ModelCard card,
                       const Objective& objective, const TrainingSet& set, TrainOptions train_as,
                       const Tokenizer& tokenizer, const std::string& directory, uint64_t seed,
                       const Transformer* ancestor = nullptr) {
  if (!file_exists(directory + "/model.safetensors")) {
    Transformer model(config);
    model.initialise(seed);
    if (const double share = ancestor != nullptr ? model.inherit(*ancestor) : 0; share > 0) {
      card.provenance["start"] =
          fmt::format("the teacher's lowest layers, {:.0f} % of its weights", 100 * share);
    }
    train_as.label = name;
    train_as.directory = directory;
    train(model, objective, set.sequences, set.validation, train_as);
    tokenizer.save(directory);
    save_model(model, card, directory, DType::kBf16);
  }
  return load_run_model(name, directory);
}

int64_t token_count(const std::vector<Sequence>& sequences) {
  int64_t tokens = 0;
  for (const Sequence& s : sequences) tokens += static_cast<int64_t>(s.tokens.size());
  return tokens;
}

ModelConfig with_ids(ModelConfig config, const Tokenizer& tokenizer) {
  config.bos = tokenizer.bos().value_or(-1);
  config.eos = end_token(tokenizer);
  config.mask = tokenizer.find(kMaskToken).value_or(-1);
  return config;
}

EndpointOptions endpoint_options(const Recipe& recipe, SignalKind kind) {
  const EndpointRecipe& e = recipe.endpoint;
  EndpointOptions o;
  o.url = e.url;
  o.model = recipe.teacher.model;
  o.api = e.api;
  o.key = endpoint_key(e.api_key_env);
  o.system = e.system;
  o.prompt_template = e.prompt_template;
  o.keep_reasoning = e.reasoning == "keep";
  o.concurrency = e.concurrency;
  o.requests_per_minute = e.requests_per_minute;
  o.timeout_seconds = e.timeout;
  o.max_total_tokens = static_cast<int64_t>(std::min<uint64_t>(e.max_total_tokens, INT64_MAX));
  o.max_cost = e.max_cost;
  o.price_in = e.price_per_million_in;
  o.price_out = e.price_per_million_out;
  o.kind = kind;
  o.count = kind == SignalKind::kTopK ? recipe.signals.count : 0;
  o.text_temperature = recipe.signals.text_temperature;
  o.max_new_tokens = recipe.signals.max_new_tokens;
  o.max_tokens = recipe.data.max_tokens;
  o.seed = recipe.seed;
  return o;
}

// What all stores of a run have in common, as stores of texts.
SignalHeader run_signal_header(const Recipe& recipe, const ModelCard& card,
                               const Tokenizer& tokenizer) {
  SignalHeader header;
  header.teacher_id = teacher_name(recipe);
  header.tokenizer_hash = tokenizer.hash();
  header.prompt_template = card.prompt_template;
  header.vocab_size = tokenizer.vocab_size();
  header.seed = recipe.seed;
  if (recipe.has_endpoint()) describe_endpoint(endpoint_options(recipe, SignalKind::kText), header);
  return header;
}

}  // namespace

std::string teacher_name(const Recipe& recipe) {
  if (recipe.has_endpoint()) {
    return recipe.teacher.model.empty() ? "the model of " + recipe.endpoint.url
                                        : recipe.teacher.model;
  }
  return recipe.teacher.model.empty() ? "made on the spot" : recipe.teacher.model;
}

ModelCard run_card(const Recipe& recipe, const RunData& data) {
  ModelCard card;
  card.prompt_template = recipe.data.prompt_template;
  card.task = recipe.task;
  if (recipe.task == "accuracy") {
    std::set<std::string> labels;
    for (const Example& e : data.train) labels.insert(e.completion);
    if (labels.size() > kMaxLabels) {
      fail(ErrorCode::kInvalidArgument,
           "[data] {} different answers; a classifier wants at most {} labels", labels.size(),
           kMaxLabels);
    }
    card.labels.assign(labels.begin(), labels.end());
  }
  return card;
}

RunModel make_teacher(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
                      const RunOptions& options) {
  if (!recipe.teacher.model.empty()) {
    RunModel teacher = load_run_model("teacher", recipe.teacher.model);
    teacher.curve.clear();
    // A foreign teacher is asked with the recipe's template; one of ours knows its own.
    if (teacher.card.task.empty()) teacher.card.prompt_template = recipe.data.prompt_template;
    teacher.card.labels = run_card(recipe, data).labels;
    return teacher;
  }
  ModelCard card = run_card(recipe, data);
  card.provenance = {{"made by", "alambic, on the spot, as the teacher of a run"},
                     {"data", recipe.data.source}};
  const TrainingSet set{
      encode_examples(tokenizers.teacher, card, data.train, recipe.data.max_tokens),
      encode_examples(tokenizers.teacher, card, data.validation, recipe.data.max_tokens)};
  if (set.sequences.empty()) {
    fail(ErrorCode::kInvalidArgument, "[data] no example fits in data.max_tokens = {}",
         recipe.data.max_tokens);
  }
  TrainOptions train_as =
      train_options(recipe.teacher_train, token_count(set.sequences), recipe.seed);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, "teacher", set);
  const ModelConfig config = with_ids(model_config(recipe.teacher, tokenizers.teacher.vocab_size(),
                                                   recipe.data.max_tokens, "teacher"),
                                      tokenizers.teacher);
  return train_or_load("teacher", config, card, HybridObjective(HybridOptions{}), set, train_as,
                       tokenizers.teacher, options.directory + "/teacher", recipe.seed);
}

std::vector<Sequence> read_signal_sequences(const std::string& path, int max_tokens) {
  std::vector<Sequence> sequences;
  SignalStore::open(path).for_each([&](const SignalRow& row) {
    if (static_cast<int>(row.tokens.size()) > max_tokens) return;
    sequences.push_back({row.tokens, row.prompt_tokens, row.signals});
  });
  return sequences;
}

std::vector<std::string> ask_endpoint(const Recipe& recipe, const ModelCard& card,
                                      std::span<const Example> examples, const Tokenizer& tokenizer,
                                      const RunOptions& options) {
  const SignalHeader header = run_signal_header(recipe, card, tokenizer);
  SignalStore store = SignalStore::create_or_resume(options.directory + "/answers.sqlite", header);
  std::vector<SignalRequest> requests;
  for (size_t i = 0; i < examples.size(); ++i) {
    requests.push_back({static_cast<int64_t>(i), 0, &examples[i], true});
  }
  EndpointOptions ask = endpoint_options(recipe, SignalKind::kText);
  // One cap for all that a run asks.
  const Spending before = SignalStore::open(options.directory + "/signals.sqlite").spent();
  if (ask.max_total_tokens > 0) {
    ask.max_total_tokens = std::max<int64_t>(1, ask.max_total_tokens - before.tokens());
  }
  if (ask.max_cost > 0) ask.max_cost = std::max(1e-9, ask.max_cost - before.money);
  EndpointTeacher endpoint(ask, tokenizer, card);
  gather_signals(endpoint, requests, store);
  std::vector<std::string> answers(examples.size());
  store.for_each([&](const SignalRow& row) {
    const auto index = static_cast<size_t>(row.example);
    if (row.example >= 0 && index < answers.size()) answers[index] = row.text;
  });
  return answers;
}

std::vector<Sequence> gather_run_signals(const Recipe& recipe, const RunData& data,
                                         const RunModel& teacher, const Tokenizer& tokenizer,
                                         const RunOptions& options) {
  const SignalRecipe& s = recipe.signals;
  const SignalKind kind = s.kind == "draws"  ? SignalKind::kDraws
                          : s.kind == "topk" ? SignalKind::kTopK
                                             : SignalKind::kText;
  SignalHeader header = run_signal_header(recipe, teacher.card, tokenizer);
  header.kind = kind;
  header.draws_or_k = kind == SignalKind::kText ? 0 : s.count;
  header.temperature = s.temperature;
  const std::string path = options.directory + "/signals.sqlite";
  SignalStore store = SignalStore::create_or_resume(path, header);
  std::vector<SignalRequest> requests;
  for (size_t i = 0; i < data.train.size(); ++i) {
    const auto example = static_cast<int64_t>(i);
    if (s.texts != "teacher") requests.push_back({example, 0, &data.train[i], false});
    if (s.texts == "gold") continue;
    for (int k = 0; k < s.samples; ++k) requests.push_back({example, 1 + k, &data.train[i], true});
  }
  for (size_t i = 0; i < data.prompts.size(); ++i) {
    const auto example = static_cast<int64_t>(data.train.size() + i);
    for (int k = 0; k < s.samples; ++k)
      requests.push_back({example, 1 + k, &data.prompts[i], true});
  }
  if (recipe.has_endpoint()) {
    EndpointTeacher endpoint(endpoint_options(recipe, kind), tokenizer, teacher.card);
    gather_signals(endpoint, requests, store);
    return read_signal_sequences(path, recipe.data.max_tokens);
  }
  LocalTeacherOptions ask;
  ask.kind = kind;
  ask.count = s.count;
  ask.temperature = s.temperature;
  ask.text_temperature = s.text_temperature;
  ask.max_new_tokens = s.max_new_tokens;
  ask.max_tokens = recipe.data.max_tokens;
  ask.seed = recipe.seed;
  ask.precision = Precision::kFp32;
  LocalTeacher local(*teacher.model, tokenizer, teacher.card, header.teacher_id, ask);
  gather_signals(local, requests, store);
  return read_signal_sequences(path, recipe.data.max_tokens);
}

RunModel make_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer, const RunOptions& options) {
  if (set.sequences.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] no training text fits in data.max_tokens = {}",
         job.name, recipe.data.max_tokens);
  }
  TrainRecipe train_recipe = recipe.student_train;
  if (job.steps > 0) train_recipe.steps = static_cast<int>(job.steps);
  TrainOptions train_as = train_options(train_recipe, token_count(set.sequences), recipe.seed);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, job.name, set);
  const ModelConfig config = with_ids(
      model_config(recipe.student, tokenizer.vocab_size(), recipe.data.max_tokens, "student"),
      tokenizer);
  return train_or_load(job.name, config, job.card, HybridObjective(job.objective, job.speaker), set,
                       train_as, tokenizer, options.directory + "/" + job.name, recipe.seed + 1,
                       job.ancestor);
}

}  // namespace alambic
