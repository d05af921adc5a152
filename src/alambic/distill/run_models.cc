// Teacher, signals, student and control of a run.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "alambic/base/file.h"
#include "alambic/base/sha256.h"
#include "alambic/data/conversation.h"
#include "alambic/distill/byte_alignment.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/own_texts.h"
#include "alambic/distill/run_parts.h"
#include "alambic/models/adapters.h"
#include "alambic/models/mask_token.h"

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

// Inside the directory of a student that is polished: what it was before.
constexpr const char* kUnpolished = "/unpolished";
constexpr const char* kOwnTexts = "/own_texts.sqlite";

RunModel load_run_model(const std::string& name, const std::string& directory) {
  LoadedModel loaded = load_model(directory);
  freeze_for_inference(*loaded.model, Precision::kFp32);
  const bool polished = file_exists(directory + kUnpolished + "/metrics.jsonl");
  return {name, std::move(loaded.model), std::move(loaded.card), loaded.file_bytes,
          stored_curve(polished ? directory + kUnpolished : directory)};
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
    const Precision precision =
        recipe.student_train.precision == "fp32" ? Precision::kFp32 : Precision::kBf16;
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

// Trains into `directory` unless a finished model is there, and returns the model as it reads back
// from disk.
RunModel train_or_load(const std::string& name, const Start& start, ModelCard card,
                       const Objective& objective, const TrainingSet& set, TrainOptions train_as,
                       const Tokenizer& tokenizer, const std::string& directory,
                       const std::string& base = "") {
  if (!is_trained(directory)) {
    const std::unique_ptr<Transformer> model = start(card);
    train_as.label = name;
    train_as.directory = directory;
    train(*model, objective, set.sequences, set.validation, train_as);
    tokenizer.save(directory);
    if (has_adapters(*model)) {
      save_adapter_model(*model, card, std::filesystem::absolute(base).string(), directory);
    } else {
      save_model(*model, card, directory, DType::kBf16);
    }
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

int64_t token_count(const std::vector<Sequence>& sequences) {
  int64_t tokens = 0;
  for (const Sequence& s : sequences) tokens += static_cast<int64_t>(s.tokens.size());
  return tokens;
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

// SHA-256 of a model's weights; of several shards, that of the lines that `sha256sum` prints of
// them.
std::string weights_checksum(const std::string& model) {
  namespace fs = std::filesystem;
  if (fs::is_regular_file(model)) return sha256_of_file(model);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(model)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  }
  if (files.size() == 1) return sha256_of_file(files.front());
  std::sort(files.begin(), files.end());
  std::string lines;
  for (const std::string& file : files)
    lines += sha256_of_file(file) + "  " + fs::path(file).filename().string() + "\n";
  return sha256_of(lines);
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
  header.licence = recipe.provenance.teacher_licence;
  header.terms = recipe.provenance.teacher_terms;
  header.revision = recipe.provenance.teacher_revision;
  header.begun = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  const SignalRecipe& s = recipe.signals;
  header.sampling = dump_json(OrderedJson{{"texts", s.texts},
                                          {"samples", s.samples},
                                          {"temperature", s.text_temperature},
                                          {"max_new_tokens", s.max_new_tokens}});
  if (!recipe.has_endpoint() && !recipe.teacher.model.empty())
    header.weights = weights_checksum(recipe.teacher.model);
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

namespace {

// The text of the template that the recipe names, "" for none.
std::string recipe_chat_template(const Recipe& recipe) {
  const std::string& name = recipe.data.chat_template;
  if (name.empty()) return "";
  if (name != "model") return ChatTemplate::builtin(name).source();
  const std::string& directory =
      recipe.student.model.empty() ? recipe.teacher.model : recipe.student.model;
  std::string own = directory.empty() ? "" : own_chat_template(directory);
  if (own.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[data] chat_template = \"model\", and [{}] has none; name one of {}", directory,
         fmt::join(ChatTemplate::builtin_names(), ", "));
  }
  return own;
}

}  // namespace

ModelCard run_card(const Recipe& recipe, const RunData& data) {
  ModelCard card;
  card.prompt_template = recipe.data.prompt_template;
  card.chat_template = recipe_chat_template(recipe);
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
    if (teacher.card.task.empty()) {
      teacher.card.prompt_template = recipe.data.prompt_template;
      teacher.card.chat_template = recipe_chat_template(recipe);
    }
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
  return train_or_load("teacher", fresh_model(config, recipe.seed, nullptr), card,
                       HybridObjective(HybridOptions{}), set, train_as, tokenizers.teacher,
                       options.directory + "/teacher");
}

namespace {

// Conversations of several answers, by what a row calls its prompt and text.
using ConversationMap = std::map<std::pair<std::string_view, std::string_view>, const Example*>;

ConversationMap conversations_of(std::span<const Example> examples) {
  ConversationMap map;
  for (const Example& e : examples) {
    if (answers_in(e) > 1)
      map.emplace(std::pair<std::string_view, std::string_view>(e.prompt, e.completion), &e);
  }
  return map;
}

// Which tokens of a row are the assistant's, where a user speaks between its answers; empty: all.
// A teacher on this machine says nothing about the others; of texts alone, their example tells.
std::vector<bool> learned_tokens(const SignalRow& row, const SignalHeader& header,
                                 const ConversationMap& conversations, const ModelCard& card,
                                 const RunTokenizers& tokenizers, const std::string& path) {
  if (row.sample != 0) return {};
  std::vector<bool> learned;
  if (!row.signals.empty() && header.endpoint.empty()) {
    learned.reserve(row.signals.size());
    for (const TokenSignal& signal : row.signals) learned.push_back(!signal.ids.empty());
  } else if (const auto found = conversations.find({row.prompt, row.text});
             found != conversations.end()) {
    const auto s = encode_example(tokenizers.teacher, card, *found->second,
                                  std::max(card.canvas, static_cast<int>(row.tokens.size())));
    if (!s || s->tokens != row.tokens) {
      fail(ErrorCode::kCorruptData, "[{}] row {} is not conversation {} of the data", path,
           row.example, found->second->id);
    }
    learned = s->learned;
  }
  if (!tokenizers.same && has_several_answers(learned)) {
    fail(ErrorCode::kUnsupported,
         "[signals] row {} is a conversation of several answers; for a student with a tokenizer "
         "of its own a teacher comments on one",
         row.example);
  }
  return learned;
}

}  // namespace

SignalSequences read_signal_sequences(const std::string& path, const ModelCard& card,
                                      const RunTokenizers& tokenizers, int max_tokens,
                                      std::span<const Example> examples) {
  SignalSequences result;
  std::vector<Sequence>& sequences = result.sequences;
  std::optional<ByteAlignment> alignment;
  if (!tokenizers.same) alignment.emplace(tokenizers.teacher, tokenizers.student);
  const ConversationMap conversations = conversations_of(examples);
  const SignalStore store = SignalStore::open(path);
  store.for_each([&](const SignalRow& row) {
    std::vector<bool> learned =
        learned_tokens(row, store.header(), conversations, card, tokenizers, path);
    if (alignment) {
      if (auto s = alignment->sequence(row, card, max_tokens)) sequences.push_back(std::move(*s));
    } else if (static_cast<int>(row.tokens.size()) <= max_tokens) {
      sequences.push_back({row.tokens, row.prompt_tokens, row.signals, std::move(learned)});
    }
  });
  if (alignment) result.aligned = alignment->share();
  return result;
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

SignalSequences gather_run_signals(const Recipe& recipe, const RunData& data,
                                   const RunModel& teacher, const RunTokenizers& tokenizers,
                                   const RunOptions& options) {
  const SignalRecipe& s = recipe.signals;
  const Tokenizer& tokenizer = tokenizers.teacher;
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
    return read_signal_sequences(path, teacher.card, tokenizers, recipe.data.max_tokens,
                                 data.train);
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
  return read_signal_sequences(path, teacher.card, tokenizers, recipe.data.max_tokens, data.train);
}

namespace {

// Trains the student of a job into `directory`.
RunModel trained_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                         const Tokenizer& tokenizer, const RunOptions& options,
                         const std::string& directory) {
  TrainRecipe train_recipe = recipe.student_train;
  if (job.steps > 0) train_recipe.steps = static_cast<int>(job.steps);
  TrainOptions train_as = train_options(train_recipe, token_count(set.sequences), recipe.seed);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, job.name, set);
  std::unique_ptr<Objective> objective;
  if (is_bidirectional(recipe)) {
    objective = std::make_unique<MaskedObjective>(recipe.masked);
  } else {
    objective = std::make_unique<HybridObjective>(job.objective, job.speaker);
  }
  if (!recipe.student.model.empty()) {
    if (!recipe.adapts()) check_given_model(recipe, tokenizer, job.objective);
    const TokenId mask = tokenizer.find(kMaskToken).value_or(-1);
    return train_or_load(job.name, given_model(recipe, mask), job.card, *objective, set, train_as,
                         tokenizer, directory, recipe.student.model);
  }
  const ModelConfig config =
      with_ids(student_config(recipe, tokenizer.vocab_size()), tokenizer, job.ends);
  return train_or_load(job.name, fresh_model(config, recipe.seed + 1, job.ancestor), job.card,
                       *objective, set, train_as, tokenizer, directory);
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
  TrainOptions train_as =
      train_options(train_recipe, token_count(mixed.sequences), recipe.seed + 2);
  train_as.resume = options.resume;
  train_as.fingerprint = fingerprint(recipe, job.name + " polish", mixed);
  HybridOptions objective = job.objective;
  objective.own = {p.divergence, p.certainty, p.hold};
  const Start start = [&](ModelCard&) { return load_model(before).model; };
  return train_or_load(job.name, start, card, HybridObjective(objective, job.speaker), mixed,
                       train_as, tokenizer, directory);
}

}  // namespace

RunModel make_student(const StudentJob& job, const Recipe& recipe, const TrainingSet& set,
                      const Tokenizer& tokenizer, const RunOptions& options) {
  if (set.sequences.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] no training text fits in data.max_tokens = {}",
         job.name, recipe.data.max_tokens);
  }
  const std::string directory = options.directory + "/" + job.name;
  if (recipe.polish.steps == 0 || is_trained(directory))
    return trained_student(job, recipe, set, tokenizer, options, directory);
  if (!options.resume) {
    // Of a run that somebody gave up.
    namespace fs = std::filesystem;
    fs::remove_all(directory + kUnpolished);
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(directory + kOwnTexts + suffix);
  }
  return polished_student(job, recipe, set, tokenizer, options, directory);
}

}  // namespace alambic
