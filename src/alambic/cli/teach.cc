// alambic teach: a teacher's texts and token probabilities, gathered into a signal store.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/trimmed.h"
#include "alambic/cli/checks.h"
#include "alambic/cli/data_options.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/data/conversation.h"
#include "alambic/data/data_report.h"
#include "alambic/data/text_encoding.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/labels.h"
#include "alambic/models/model_files.h"

namespace alambic {
namespace {

constexpr const char* kTeachExample =
    "  alambic teach TEACHER --data mails.jsonl --out signals.sqlite\n"
    "  alambic teach TEACHER --data prompts.jsonl --texts teacher --samples 4 --text-temperature "
    "0.8 --out s.sqlite\n"
    "  alambic teach MODEL-NAME --endpoint https://host/v1 --api-key-env HOST_KEY --tokenizer DIR "
    "--data prompts.jsonl --texts teacher --kind text --out s.sqlite\n"
    "  alambic teach TEACHER --data tickets.csv --texts teacher --labels refund,delivery,other "
    "--out s.sqlite\n"
    "The same command goes on where an earlier one was stopped.";

struct TeachArguments {
  std::string model, out, kind = "draws", texts = "gold", precision = "bf16", jsonl;
  DataSource data;
  LocalTeacherOptions teacher;
  EndpointOptions endpoint;
  std::string tokenizer, key_variable, reasoning = "drop", cut = "drop", chat_template, labels;
  Telling telling;
  int samples = 1;
  bool json = false;
};

void bind_endpoint(CLI::App& verb, TeachArguments& o) {
  auto* url = verb.add_option("--endpoint", o.endpoint.url,
                              "Base URL of an OpenAI-compatible endpoint that serves MODEL")
                  ->type_name("URL");
  const auto option = [&](const char* name, auto& value, const char* help) {
    return verb.add_option(name, value, help)->needs(url)->capture_default_str();
  };
  option("--tokenizer", o.tokenizer, "Model directory or tokenizer.json of the student")
      ->type_name("PATH");
  option("--api", o.endpoint.api, "auto, chat or completions")
      ->check(CLI::IsMember({"auto", "chat", "completions"}));
  option("--api-key-env", o.key_variable, "Environment variable that holds the key")
      ->type_name("VARIABLE");
  option("--concurrency", o.endpoint.concurrency, "Questions at once");
  option("--requests-per-minute", o.endpoint.requests_per_minute, "At most; 0: no limit of ours");
  option("--timeout", o.endpoint.timeout_seconds, "Seconds for one answer");
  option("--max-total-tokens", o.endpoint.max_total_tokens,
         "Stop before so many tokens are asked and written; 0: no cap")
      ->check(CLI::Range(int64_t{0}, std::numeric_limits<int64_t>::max()));
  option("--max-cost", o.endpoint.max_cost, "Stop before so much is spent; 0: no cap")
      ->check(at_least_zero());
  option("--price-in", o.endpoint.price_in, "Of a million tokens asked")->check(at_least_zero());
  option("--price-out", o.endpoint.price_out, "Of a million tokens written")
      ->check(at_least_zero());
}

void bind(CLI::App& verb, TeachArguments& o) {
  verb.add_option("model", o.model, "Model directory of the teacher, or its name at the --endpoint")
      ->required()
      ->type_name("MODEL");
  add_data_options(verb, o.data);
  verb.add_option("--out", o.out, "Signal store to write or go on with")
      ->required()
      ->type_name("FILE.sqlite");
  verb.add_option("--kind", o.kind,
                  "What to store of each token: text (nothing), draws (unbiased), topk")
      ->check(CLI::IsMember({"text", "draws", "topk"}))
      ->capture_default_str();
  verb.add_option("--count", o.teacher.count, "Draws per token, or k")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb.add_option("--temperature", o.teacher.temperature, "Of the stored probabilities")
      ->check(number_within(0.01, 100))
      ->capture_default_str();
  verb.add_option("--texts", o.texts,
                  "Whose answers: gold (of the data) or teacher (it writes its own)")
      ->check(CLI::IsMember({"gold", "teacher"}))
      ->capture_default_str();
  verb.add_option("--samples", o.samples, "Texts of the teacher per prompt")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb.add_option("--text-temperature", o.teacher.text_temperature,
                  "Of the teacher's texts; 0: most probable")
      ->check(number_within(0, 100))
      ->capture_default_str();
  verb.add_option("--max-tokens", o.teacher.max_new_tokens, "Longest text of the teacher")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  verb.add_option("--cut", o.cut, "Texts that run into --max-tokens or --max-length: drop or keep")
      ->check(CLI::IsMember({"drop", "keep"}))
      ->capture_default_str();
  verb.add_option("--reasoning", o.reasoning, "<think> blocks in front of answers: drop or keep")
      ->check(CLI::IsMember({"drop", "keep"}))
      ->capture_default_str();
  verb.add_option("--labels", o.labels,
                  "Answers are one of these: a,b,c, or a file with one on each line")
      ->type_name("LABELS");
  verb.add_option("--system", o.telling.system,
                  "System message for the teacher alone; {labels} in it stands for the labels")
      ->type_name("TEXT");
  verb.add_option("--prompt-template", o.telling.prompt_template,
                  "Around what the teacher is asked: a text with {prompt} in it, and {labels}")
      ->capture_default_str()
      ->type_name("TEXT");
  add_chat_template_option(verb, o.chat_template);
  verb.add_option("--max-length", o.teacher.max_tokens,
                  "Prompt and answer in tokens; longer ones are left out")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  add_seed_option(verb, o.teacher.seed, "Seed of texts and draws");
  verb.add_option("--precision", o.precision, "Of the products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  bind_endpoint(verb, o);
  verb.add_option("--export", o.jsonl, "Also write the whole store as JSON lines")
      ->type_name("FILE.jsonl");
  verb.add_flag("--json", o.json, "One JSON object");
}

// Changes with the weights: signals of two teachers must not end up in one store.
std::string teacher_id(const std::string& directory) {
  size_t size = 0;
  uLong sum = ::crc32_z(0, nullptr, 0);
  for (const std::string& path : weight_files(directory)) {
    const MappedFile weights(path);
    const auto bytes = weights.bytes();
    sum = ::crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    size += bytes.size();
  }
  const auto path = std::filesystem::path(directory).lexically_normal();
  const auto name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return fmt::format("{} (crc32 {:08x}, {} bytes)", name.string(), sum, size);
}

// "refund,delivery", or what the lines of a file say.
std::vector<std::string> read_labels(const std::string& given) {
  if (given.empty()) return {};
  const bool file = file_exists(given);
  const std::string text = file ? decode_text(read_file(given), "utf-8", given) : given;
  std::vector<std::string> labels;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(file ? '\n' : ',', begin), text.size());
    std::string label(trimmed(std::string_view(text).substr(begin, end - begin)));
    if (!label.empty() && std::find(labels.begin(), labels.end(), label) == labels.end())
      labels.push_back(std::move(label));
    begin = end + 1;
  }
  if (labels.size() < 2 || labels.size() > kMaxLabels) {
    fail(ErrorCode::kInvalidArgument, "[--labels] got {} different ones in {}; want 2 to {}",
         labels.size(), given, kMaxLabels);
  }
  return labels;
}

// What is stored must be about the data that is given now.
void check_stored_rows(const SignalStore& store, std::span<const Example> examples,
                       const TeachArguments& o) {
  const auto check = [&](int64_t example, const std::string& prompt) {
    const auto index = static_cast<size_t>(example);
    if (example >= 0 && index < examples.size() &&
        (examples[index].prompt == prompt || prompt_to_ask(examples[index]) == prompt))
      return;
    fail(ErrorCode::kInvalidArgument,
         "[{}] its row for example {} has another prompt than {}; want the data it was begun with",
         o.out, example, o.data.path);
  };
  store.for_each([&](const SignalRow& row) { check(row.example, row.prompt); });
  store.for_each_unanswered([&](const VainQuestion& one) { check(one.example, one.prompt); });
}

// `left_out` gets the rows without anything to comment on.
std::vector<SignalRequest> requests_for(std::span<const Example> examples, const TeachArguments& o,
                                        std::vector<LeftOut>& left_out) {
  const bool write = o.texts == "teacher";
  std::vector<SignalRequest> requests;
  for (size_t i = 0; i < examples.size(); ++i) {
    if (!write && examples[i].completion.empty()) {
      left_out.push_back({LeftOut::Reason::kNoAnswer, place_of(examples[i]),
                          examples[i].messages.is_null() ? "" : "no assistant turn"});
      continue;
    }
    if (!write && o.kind == "text" && !examples[i].last_only && answers_in(examples[i]) > 1) {
      fail(ErrorCode::kUnsupported,
           "[{}] example {} is a conversation of several answers, and texts alone do not say where "
           "they are; train on the data itself, or want --kind draws or topk",
           o.data.path, examples[i].id);
    }
    for (int sample = 0; sample < (write ? o.samples : 1); ++sample) {
      requests.push_back({static_cast<int64_t>(i), sample, &examples[i], write});
    }
  }
  return requests;
}

int64_t answer_tokens(const SignalStore& store) {
  int64_t tokens = 0;
  store.for_each([&](const SignalRow& row) {
    tokens += static_cast<int64_t>(row.tokens.size()) - row.prompt_tokens;
  });
  return tokens;
}

// The teacher and what its rows have in common.
struct Source {
  std::optional<OpenModel> open;  // of a teacher on this machine
  ModelCard card;                 // and how it is asked
  std::unique_ptr<Teacher> teacher;
  SignalHeader header;
  Telling telling;  // what one on this machine is told
  std::vector<std::string> labels;
};

Source local_source(const TeachArguments& o, LocalTeacherOptions options) {
  Source source;
  options.precision = precision_from_name(o.precision, o.model);
  const OpenModel& open = source.open.emplace(open_model(o.model, options.precision));
  options.max_tokens = std::min(options.max_tokens, open.model().config().max_positions);
  ModelCard& card = source.card = open.card();
  use_chat_template(o.chat_template, o.model, card);
  // A classifier of ours keeps to its labels; any other model is told them.
  const bool classifier = card.task == "accuracy" && !card.labels.empty();
  if (classifier && !options.labels.empty()) {
    if (const std::string what = label_difference(card.labels, options.labels); !what.empty()) {
      print_remark(
          fmt::format("warning: the labels of the teacher [{}] are not those of --labels: "
                      "{}; its answers are taken from those of --labels",
                      o.model, what));
    }
  }
  if (classifier && options.labels.empty() && o.texts == "teacher") options.labels = card.labels;
  options.telling = classifier ? Telling{with_labels(o.telling.system, options.labels),
                                         with_labels(o.telling.prompt_template, options.labels)}
                               : with_labels_told(o.telling, options.labels);
  source.telling = options.telling;
  source.labels = options.labels;
  source.teacher = std::make_unique<LocalTeacher>(open.model(), open.tokenizer, card,
                                                  teacher_id(o.model), options);
  const Json& provenance = open.card().provenance;
  if (provenance.contains("licence") && provenance.at("licence").is_string()) {
    source.header.licence = provenance.at("licence").get<std::string>();
  }
  source.header.tokenizer_hash = open.tokenizer.hash();
  source.header.prompt_template = card.prompt_template;
  source.header.chat_template = card.chat_template;
  source.header.vocab_size = open.tokenizer.vocab_size();
  return source;
}

Source endpoint_source(const TeachArguments& o, const LocalTeacherOptions& options) {
  if (o.tokenizer.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[--endpoint] wants --tokenizer: rows hold the tokens of the student");
  }
  Source source;
  EndpointOptions ask = o.endpoint;
  ask.model = o.model;
  ask.key = endpoint_key(o.key_variable);
  ask.kind = options.kind;
  ask.count = options.kind == SignalKind::kTopK ? options.count : 0;
  ask.text_temperature = options.text_temperature;
  ask.max_new_tokens = options.max_new_tokens;
  ask.max_tokens = options.max_tokens;
  ask.keep_reasoning = options.keep_reasoning;
  ask.keep_cut = options.keep_cut;
  ask.telling = o.telling;
  ask.labels = options.labels;
  ask.seed = options.seed;
  if (options.temperature != 1) {
    fail(ErrorCode::kInvalidArgument,
         "[--temperature] got {}; the log-probabilities of an endpoint are of temperature 1",
         options.temperature);
  }
  const Tokenizer tokenizer = Tokenizer::load(o.tokenizer);
  ModelCard card;
  if (file_exists(o.tokenizer + "/config.json")) {
    read_model_config(o.tokenizer, &card);
    use_chat_template(o.chat_template, o.tokenizer, card);
  }
  source.teacher = std::make_unique<EndpointTeacher>(ask, tokenizer, card);
  describe_endpoint(ask, source.header);
  source.header.tokenizer_hash = tokenizer.hash();
  source.header.prompt_template = card.prompt_template;
  source.header.chat_template = card.chat_template;
  source.header.vocab_size = tokenizer.vocab_size();
  return source;
}

// What its answers depend on; "" for texts of the data about which it is told nothing.
std::string how_written(const TeachArguments& o, const LocalTeacherOptions& options,
                        const Source& source) {
  OrderedJson sampling = OrderedJson::object();
  if (o.texts == "teacher") {
    sampling = {{"texts", o.texts},
                {"temperature", options.text_temperature},
                {"max_new_tokens", options.max_new_tokens}};
    if (options.keep_cut) sampling["cut"] = "keep";
    if (options.keep_reasoning) sampling["reasoning"] = "keep";
  }
  describe_telling(source.telling, source.labels, sampling);
  return sampling.empty() ? "" : dump_json(sampling);
}

void act(const TeachArguments& given, const Invocation&) {
  TeachArguments o = given;
  if (o.endpoint.url.empty()) o.model = model_at(o.model);
  std::vector<LeftOut> not_asked;
  DataSource wanted = o.data;
  wanted.prompts_only = o.texts == "teacher";
  std::vector<Example> examples = read_examples(wanted, &not_asked);
  LocalTeacherOptions options = o.teacher;
  options.kind = signal_kind_from_name(o.kind, "--kind");
  options.keep_reasoning = o.reasoning == "keep";
  options.keep_cut = o.cut == "keep";
  options.labels = read_labels(o.labels);
  if (o.telling.prompt_template.find("{prompt}") == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "[--prompt-template] got \"{}\"; want a text with {{prompt}}",
         o.telling.prompt_template);
  }
  Source source = o.endpoint.url.empty() ? local_source(o, options) : endpoint_source(o, options);
  std::vector<LeftOut> unusable;
  if (source.open && o.texts != "teacher") {
    examples = one_for_each_text(
        source.open->tokenizer, source.card, examples,
        std::min(options.max_tokens, source.open->model().config().max_positions), &unusable);
  }
  const auto unanswered = [](const LeftOut& row) {
    return row.reason == LeftOut::Reason::kNoAnswer;
  };
  std::erase_if(unusable, unanswered);  // requests_for() counts them
  const std::vector<SignalRequest> requests = requests_for(examples, o, not_asked);
  not_asked.insert(not_asked.end(), unusable.begin(), unusable.end());
  LeftOutCounts counts;
  counts.add(not_asked);
  if (requests.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] nothing to teach: {}; use --texts teacher, or name the answer's field", o.data.path,
         fmt::join(counts.in_words(), "; "));
  }
  for (const std::string& line : counts.in_words()) print_remark("left out: " + line);
  SignalHeader& header = source.header;
  header.teacher_id = source.teacher->id();
  header.kind = options.kind;
  header.draws_or_k = options.kind == SignalKind::kText ? 0 : options.count;
  header.temperature = options.temperature;
  header.seed = options.seed;
  if (o.endpoint.url.empty()) header.sampling = how_written(o, options, source);
  header.tokenizer =
      std::filesystem::absolute(o.tokenizer.empty() ? o.model : o.tokenizer).string();
  SignalStore store = SignalStore::create_or_resume(o.out, header);
  const int64_t rows_before = store.size();
  int64_t tokens_before = 0;
  check_stored_rows(store, examples, o);
  if (rows_before > 0) {
    tokens_before = answer_tokens(store);
    print_remark(fmt::format(
        "{} already in {}; going on",
        rows_before == 1 ? "1 row is" : fmt::format("{} rows are", rows_before), o.out));
  }
  const Stopwatch watch;
  const AnswerLimits limits{options.max_new_tokens, options.max_tokens, "--max-tokens",
                            "--max-length"};
  const Gathered gathered = gather_signals(*source.teacher, requests, store, limits);
  gathered.require_rows(limits);
  const double seconds = watch.seconds();
  if (!o.jsonl.empty()) store.export_jsonl(o.jsonl);
  for (const std::string& line : gathered.lines) print_remark(line);
  const int64_t tokens = answer_tokens(store);
  const double speed = static_cast<double>(tokens - tokens_before) / std::max(seconds, 1e-9);
  if (o.json) {
    OrderedJson reasons = OrderedJson::object();
    for (size_t i = 1; i < kAnswerKinds; ++i) {
      const auto kind = static_cast<AnswerKind>(i);
      if (const int64_t count = gathered.tally.count(kind); count > 0)
        reasons[answer_kind_name(kind)] = count;
    }
    print_json(OrderedJson{{"out", o.out},
                           {"rows", store.size()},
                           {"new_rows", store.size() - rows_before},
                           {"left_out", gathered.tally.left_out()},
                           {"reasons", reasons},
                           {"rows_left_out", OrderedJson(counts.to_json())},
                           {"tokens", tokens},
                           {"bytes_per_token", store.bytes_per_token()},
                           {"tokens_per_s", speed},
                           {"seconds", seconds}});
    return;
  }
  print_result(fmt::format(
      "{} {}, {} tokens, {:.1f} bytes per token, teacher at {:.0f} tokens/s: {}\n", store.size(),
      store.size() == 1 ? "row" : "rows", tokens, store.bytes_per_token(), speed, o.out));
}

}  // namespace

void add_teach(CLI::App& app, Invocation& invocation) {
  add_verb<TeachArguments>(app, invocation, "teach", "Store what a teacher would say",
                           kTeachExample, bind, act);
}

}  // namespace alambic
