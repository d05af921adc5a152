#include "alambic/distill/on_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <numeric>

#include "alambic/base/file.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/json.h"
#include "alambic/base/progress.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/prompting.h"

namespace alambic {
namespace {

constexpr size_t kAtOnce = 64;              // texts written, marked and stored in one durable step
constexpr uint64_t kPromptStream = 0x09c1;  // apart from the streams of training

std::string cost_path(const std::string& directory) { return directory + "/" + kOnPolicyCost; }
std::string store_path(const std::string& directory) { return directory + "/" + kOnPolicyStore; }

void remove_store(const std::string& directory) {
  for (const char* suffix : {"", "-wal", "-shm"})
    std::filesystem::remove(store_path(directory) + suffix);
}

void write_cost(const OnPolicyCost& c, const std::string& directory) {
  const Spending& spent = c.marking.spent;
  const OrderedJson json = {{"rounds", c.rounds},
                            {"texts", c.texts},
                            {"cut", c.cut},
                            {"empty", c.empty},
                            {"written", c.written},
                            {"marked", c.marked},
                            {"seconds_writing", c.seconds_writing},
                            {"seconds_marking", c.seconds_marking},
                            {"teacher_tokens", c.marking.teacher_tokens},
                            {"requests", spent.requests},
                            {"prompt_tokens", spent.prompt_tokens},
                            {"completion_tokens", spent.completion_tokens},
                            {"money", spent.money}};
  write_file_atomic(cost_path(directory), dump_json(json, 2) + "\n");
}

// A store of this header, or nothing: another round's, or none at all.
std::optional<SignalStore> store_of(const SignalHeader& header, const std::string& path) {
  if (!file_exists(path)) return std::nullopt;
  std::optional<SignalStore> store;
  try {
    store = SignalStore::open(path);
  } catch (const Error& error) {
    // Stopped before the store had a header: it holds nothing to go on with.
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
  if (!first_difference(store->header(), header).empty()) return std::nullopt;
  return store;
}

}  // namespace

std::string in_words(const OnPolicyCost& c) {
  constexpr double kPercent = 100;
  std::string text = fmt::format(
      "on-policy: the student wrote {} texts ({} tokens; {} did not end, {} were empty) in {:.1f} "
      "s; "
      "to mark them the teacher read {} tokens in {:.1f} s",
      c.texts, c.written, c.cut, c.empty, c.seconds_writing, c.marking.teacher_tokens,
      c.seconds_marking);
  if (c.marked < c.written) {
    text += fmt::format(", and its marks reach {:.1f} % of them",
                        kPercent * static_cast<double>(c.marked) /
                            static_cast<double>(std::max<int64_t>(1, c.written)));
  }
  if (c.marking.spent.money > 0) text += fmt::format(", for {:.4f}", c.marking.spent.money);
  return text;
}

std::optional<OnPolicyCost> read_on_policy_cost(const std::string& directory) {
  const std::string path = cost_path(directory);
  if (!file_exists(path)) return std::nullopt;
  const Json json = parse_json(read_file(path), path);
  if (!json.is_object()) fail(ErrorCode::kCorruptData, "[{}] is not JSON of ours", path);
  const auto number = [&](const char* key, auto& field) {
    const auto at = json.find(key);
    if (at == json.end() || !at->is_number())
      fail(ErrorCode::kCorruptData, "[{}] has no number \"{}\"", path, key);
    field = at->get<std::remove_reference_t<decltype(field)>>();
  };
  OnPolicyCost c;
  Spending& spent = c.marking.spent;
  number("rounds", c.rounds);
  number("texts", c.texts);
  number("cut", c.cut);
  number("empty", c.empty);
  number("written", c.written);
  number("marked", c.marked);
  number("seconds_writing", c.seconds_writing);
  number("seconds_marking", c.seconds_marking);
  number("teacher_tokens", c.marking.teacher_tokens);
  number("requests", spent.requests);
  number("prompt_tokens", spent.prompt_tokens);
  number("completion_tokens", spent.completion_tokens);
  number("money", spent.money);
  return c;
}

void remove_on_policy_files(const std::string& directory) {
  remove_store(directory);
  std::filesystem::remove(cost_path(directory));
}

OnPolicy::OnPolicy(const OnPolicyOptions& options, const std::vector<OnPolicyPrompt>& prompts,
                   Marker& marker, const Tokenizer& tokenizer, std::string directory)
    : options_(options), marker_(marker), tokenizer_(tokenizer), directory_(std::move(directory)) {
  for (const OnPolicyPrompt& prompt : prompts) {
    if (static_cast<int>(prompt.tokens.size()) + 1 < options_.max_tokens)
      prompts_.push_back(&prompt);
  }
  if (prompts_.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] on_policy wants prompts that a student can answer within data.max_tokens = "
         "{}; there are none",
         options_.max_tokens);
  }
  cost_ = read_on_policy_cost(directory_).value_or(OnPolicyCost{});
}

int64_t OnPolicy::steps_of_round(const OnPolicyOptions& options, std::span<const Sequence> data,
                                 int64_t tokens_per_step) {
  const double mean = static_cast<double>(token_count(data)) /
                      static_cast<double>(std::max<size_t>(1, data.size()));
  return std::max<int64_t>(
      1, std::llround(options.texts * options.uses * mean / static_cast<double>(tokens_per_step)));
}

SignalHeader OnPolicy::header(int64_t round) const {
  SignalHeader header;
  header.teacher_id = "the marks of a student's own texts";
  header.tokenizer_hash = tokenizer_.hash();
  header.kind = SignalKind::kTopK;
  header.draws_or_k = marker_.count();
  header.vocab_size = tokenizer_.vocab_size();
  header.seed = options_.seed;
  header.sampling = dump_json(OrderedJson{{"round", round},
                                          {"texts", options_.texts},
                                          {"prompts", prompts_.size()},
                                          {"temperature", options_.temperature},
                                          {"max_new_tokens", options_.max_new_tokens},
                                          {"max_tokens", options_.max_tokens}});
  return header;
}

std::vector<WrittenText> OnPolicy::written(std::span<const size_t> indices, int64_t round,
                                           const LanguageModel& model) {
  GenerateOptions generate;
  generate.max_tokens = options_.max_new_tokens;
  generate.temperature = options_.temperature;
  generate.seed = options_.seed;
  generate.stop = stop_tokens(tokenizer_, model.config());
  generate.vocabulary = tokenizer_.vocab_size();
  generate.precision = options_.precision;
  const TokenId end = end_token(tokenizer_);
  std::vector<WrittenText> texts(indices.size());
  std::vector<Prompt> asked(indices.size());
  std::vector<size_t> order;
  size_t pass = prompts_.size();  // which shuffle `order` is; none yet
  for (size_t i = 0; i < indices.size(); ++i) {
    const size_t at = static_cast<size_t>(round) * static_cast<size_t>(options_.texts) + indices[i];
    if (order.empty() || pass != at / prompts_.size()) {
      pass = at / prompts_.size();
      order.resize(prompts_.size());
      std::iota(order.begin(), order.end(), size_t{0});
      Rng(options_.seed, kPromptStream).fork(pass).shuffle(order);
    }
    texts[i].prompt = prompts_[order[at % prompts_.size()]];
    asked[i] = {texts[i].prompt->tokens, at};
  }
  const std::vector<Generation> answers =
      generate_all(DecodeMode::kAutoregressive, model, asked, generate,
                   {.batch = static_cast<int>(kAtOnce), .progress = ""});
  for (size_t i = 0; i < texts.size(); ++i) {
    Sequence& s = texts[i].sequence;
    std::vector<TokenId> answer = answers[i].tokens;
    const size_t room = static_cast<size_t>(options_.max_tokens) - texts[i].prompt->tokens.size();
    texts[i].ended = answers[i].stopped && answer.size() < room;
    answer.resize(std::min(answer.size(), room));
    texts[i].text = tokenizer_.decode(answer);
    s.tokens = texts[i].prompt->tokens;
    s.prompt_tokens = static_cast<int>(s.tokens.size());
    s.tokens.insert(s.tokens.end(), answer.begin(), answer.end());
    if (texts[i].ended) s.tokens.push_back(end);
    s.own = true;
  }
  return texts;
}

void OnPolicy::count(std::span<const WrittenText> texts) {
  for (const WrittenText& text : texts) {
    const Sequence& s = text.sequence;
    ++cost_.texts;
    if (!text.ended) ++cost_.cut;
    if (static_cast<int>(s.tokens.size()) <= s.prompt_tokens + (text.ended ? 1 : 0)) ++cost_.empty;
    cost_.written += static_cast<int64_t>(s.tokens.size()) - s.prompt_tokens;
    cost_.marked += std::count_if(s.signals.begin(), s.signals.end(),
                                  [](const TokenSignal& signal) { return !signal.ids.empty(); });
  }
}

void OnPolicy::write(int64_t number, const LanguageModel& model) {
  if (!store_of(header(number), store_path(directory_))) remove_store(directory_);
  SignalStore store = SignalStore::create_or_resume(store_path(directory_), header(number));
  std::vector<size_t> missing;
  for (size_t i = 0; i < static_cast<size_t>(options_.texts); ++i) {
    if (!store.contains(static_cast<int64_t>(i), 0)) missing.push_back(i);
  }
  for (size_t first = 0; first < missing.size(); first += kAtOnce) {
    throw_if_interrupted("on-policy", "run the same command with --resume to go on");
    const std::span<const size_t> some =
        std::span(missing).subspan(first, std::min(kAtOnce, missing.size() - first));
    const Stopwatch writing;
    std::vector<WrittenText> texts = written(some, number, model);
    cost_.seconds_writing += writing.seconds();
    const Stopwatch marking;
    marker_.mark(texts, cost_.marking);
    cost_.seconds_marking += marking.seconds();
    count(texts);
    std::vector<SignalRow> rows;
    rows.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      SignalRow row;
      row.example = static_cast<int64_t>(some[i]);
      row.prompt = tokenizer_.decode(texts[i].prompt->tokens);
      row.text = texts[i].text;
      row.tokens = std::move(texts[i].sequence.tokens);
      row.prompt_tokens = texts[i].sequence.prompt_tokens;
      row.signals = std::move(texts[i].sequence.signals);
      row.time = std::time(nullptr);
      rows.push_back(std::move(row));
    }
    store.append(rows);
    write_cost(cost_, directory_);
  }
  ++cost_.rounds;
  write_cost(cost_, directory_);
}

std::vector<Sequence> OnPolicy::round(int64_t number, bool begins, const LanguageModel& model) {
  if (begins) write(number, model);
  const std::optional<SignalStore> store = store_of(header(number), store_path(directory_));
  if (!store || store->size() != options_.texts) {
    fail(ErrorCode::kNotFound,
         "[{}] does not hold the texts of round {}, in which this training was interrupted; start "
         "anew without --resume",
         store_path(directory_), number);
  }
  std::vector<Sequence> sequences;
  sequences.reserve(static_cast<size_t>(store->size()));
  // Read back even where they were just written: what is stored is rounded.
  store->for_each([&](const SignalRow& row) {
    Sequence s{.tokens = row.tokens,
               .prompt_tokens = row.prompt_tokens,
               .signals = row.signals,
               .learned = {},
               .own = true};
    for (const TokenSignal& signal : s.signals) s.learned.push_back(!signal.ids.empty());
    if (std::find(s.learned.begin(), s.learned.end(), true) != s.learned.end())
      sequences.push_back(std::move(s));
  });
  if (sequences.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[objective] on_policy: the teacher marked not one token of the {} texts of round {}; set "
         "objective.on_policy = 0",
         options_.texts, number);
  }
  return sequences;
}

}  // namespace alambic
