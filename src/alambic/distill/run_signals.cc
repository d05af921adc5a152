// What the teacher of a run says: the stores that a run keeps, and how students read them.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <optional>

#include "alambic/base/say.h"
#include "alambic/data/conversation.h"
#include "alambic/data/signal_store.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/byte_alignment.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/run_parts.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/models/model_files.h"

namespace alambic {

EndpointOptions endpoint_options(const Recipe& recipe, const ModelCard& card, SignalKind kind) {
  const EndpointRecipe& e = recipe.endpoint;
  EndpointOptions o;
  o.url = e.url;
  o.model = recipe.teacher.model;
  o.api = e.api;
  o.key = endpoint_key(e.api_key_env);
  o.telling = {e.system, e.prompt_template};
  o.labels = card.labels;
  o.keep_reasoning = e.reasoning == "keep";
  o.keep_cut = recipe.signals.cut == "keep";
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

namespace {

AnswerLimits answer_limits(const Recipe& recipe) {
  return {.max_new_tokens = recipe.signals.max_new_tokens, .max_tokens = recipe.data.max_tokens};
}

// What all stores of a run have in common, as stores of texts. `telling`: of a teacher here.
SignalHeader run_signal_header(const Recipe& recipe, const ModelCard& card,
                               const Tokenizer& tokenizer, const Telling& telling) {
  SignalHeader header;
  header.teacher_id = teacher_name(recipe);
  header.tokenizer_hash = tokenizer.hash();
  header.prompt_template = card.prompt_template;
  header.chat_template = card.chat_template;
  header.vocab_size = tokenizer.vocab_size();
  header.seed = recipe.seed;
  header.licence = recipe.provenance.teacher_licence;
  header.terms = recipe.provenance.teacher_terms;
  header.revision = recipe.provenance.teacher_revision;
  header.begun = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  const SignalRecipe& s = recipe.signals;
  OrderedJson sampling = {{"texts", s.texts},
                          {"samples", s.samples},
                          {"temperature", s.text_temperature},
                          {"max_new_tokens", s.max_new_tokens}};
  if (s.cut == "keep") sampling["cut"] = s.cut;
  describe_telling(telling, card.labels, sampling);
  header.sampling = dump_json(sampling);
  if (!recipe.has_endpoint() && !recipe.teacher.model.empty())
    header.weights = weights_checksum(recipe.teacher.model);
  if (recipe.has_endpoint())
    describe_endpoint(endpoint_options(recipe, card, SignalKind::kText), header);
  return header;
}

// What a chat template renders, by what a row calls its prompt and text.
using ConversationMap = std::map<std::pair<std::string_view, std::string_view>, const Example*>;

ConversationMap conversations_of(std::span<const Example> examples, bool chat) {
  ConversationMap map;
  for (const Example& e : examples) {
    if (!e.messages.is_null() || chat)
      map.emplace(std::pair<std::string_view, std::string_view>(e.prompt, e.completion), &e);
  }
  return map;
}

// Which tokens of a row are the assistant's, where a user speaks between its answers; empty: all.
// A teacher on this machine says nothing about the others; of texts alone, their example tells.
std::vector<bool> learned_tokens(const SignalRow& row, const SignalHeader& header,
                                 const ConversationMap& conversations, const Encoder& encoder,
                                 bool same_tokens, const std::string& path) {
  if (row.sample != 0) return {};
  std::vector<bool> learned;
  if (!row.signals.empty() && header.endpoint.empty()) {
    learned.reserve(row.signals.size());
    for (const TokenSignal& signal : row.signals) learned.push_back(!signal.ids.empty());
  } else if (const auto found = conversations.find({row.prompt, row.text});
             found != conversations.end()) {
    const int longest = std::max(encoder.card().canvas, static_cast<int>(row.tokens.size()));
    const auto texts = encode_sequences(encoder, *found->second, longest).sequences;
    if (!texts.empty() && texts.back().tokens == row.tokens) {
      learned = texts.back().learned;
    } else if (answers_in(*found->second) > 1) {
      fail(ErrorCode::kCorruptData, "[{}] row {} is not conversation {} of the data", path,
           row.example, found->second->id);
    }
  }
  if (!same_tokens && has_several_answers(learned)) {
    fail(ErrorCode::kUnsupported,
         "[signals] row {} is a conversation of several answers; for a student with a tokenizer "
         "of its own a teacher comments on one",
         row.example);
  }
  return learned;
}

// A row as a student reads it that has the teacher's tokens.
Sequence same_sequence(const SignalRow& row, const std::vector<bool>& has_token,
                       std::vector<bool> learned, const std::string& path) {
  for (const TokenId id : row.tokens) {
    if (static_cast<size_t>(id) < has_token.size() && has_token[static_cast<size_t>(id)]) continue;
    fail(ErrorCode::kInvalidArgument,
         "[{}] row {} holds token {}, which the student's tokenizer does not have", path,
         row.example, id);
  }
  Sequence s{row.tokens, row.prompt_tokens, row.signals, std::move(learned)};
  for (TokenSignal& signal : s.signals) keep_tokens(signal, has_token);
  return s;
}

Example as_example(const SignalRow& row, const std::string& path) {
  const std::string sample = row.sample > 0 ? fmt::format(", sample {}", row.sample) : "";
  return {.prompt = row.prompt,
          .completion = row.text,
          .where = fmt::format("{}: row {}{}", path, row.example, sample)};
}

// Whether a test or validation set asks what the row answers; says so in `left_out`.
bool is_held_out(const SignalRow& row, const std::string& path, std::span<HeldOutPrompts> held_out,
                 std::vector<LeftOut>& left_out) {
  std::vector<Example> rows;
  for (HeldOutPrompts& held : held_out) {
    if (rows.empty()) rows.push_back(as_example(row, path));
    held.take_out(rows, left_out);
    if (rows.empty()) return true;
  }
  return false;
}

LeftOut too_long(const SignalRow& row, const std::string& path, int max_tokens) {
  return {LeftOut::Reason::kTooLong, as_example(row, path).where,
          fmt::format("want at most {} tokens", max_tokens)};
}

}  // namespace

std::vector<Example> signal_rows(const std::string& path) {
  std::vector<Example> rows;
  SignalStore::open(path).for_each(
      [&](const SignalRow& row) { rows.push_back(as_example(row, path)); });
  return rows;
}

SignalSequences read_signal_texts(const std::string& path, const ModelCard& card,
                                  const Tokenizer& tokenizer, int max_tokens,
                                  std::span<HeldOutPrompts> held_out) {
  SignalSequences result;
  const Encoder encoder(tokenizer, card);
  SignalStore::open(path).for_each([&](const SignalRow& row) {
    if (is_held_out(row, path, held_out, result.left_out)) return;
    EncodedExample encoded = encode_sequences(encoder, as_example(row, path), max_tokens);
    if (encoded.left_out) result.left_out.push_back(*std::move(encoded.left_out));
    for (Sequence& s : encoded.sequences) result.sequences.push_back(std::move(s));
  });
  return result;
}

SignalSequences read_signal_sequences(const std::string& path, const ModelCard& card,
                                      const RunTokenizers& tokenizers, int max_tokens,
                                      std::span<const Example> examples,
                                      std::span<HeldOutPrompts> held_out) {
  SignalSequences result;
  std::vector<Sequence>& sequences = result.sequences;
  std::optional<ByteAlignment> alignment;
  if (!tokenizers.same) alignment.emplace(tokenizers.teacher, tokenizers.student);
  const Encoder encoder(tokenizers.teacher, card), students(tokenizers.student, card);
  const ConversationMap conversations = conversations_of(examples, !card.chat_template.empty());
  const std::vector<bool> has_token = writable_tokens(tokenizers.student);
  const SignalStore store = SignalStore::open(path);
  store.for_each([&](const SignalRow& row) {
    if (is_held_out(row, path, held_out, result.left_out)) return;
    std::vector<bool> learned =
        learned_tokens(row, store.header(), conversations, encoder, tokenizers.same, path);
    std::optional<Sequence> s;
    if (alignment) {
      s = alignment->sequence(row, students, max_tokens);
    } else if (static_cast<int>(row.tokens.size()) <= max_tokens) {
      s = same_sequence(row, has_token, std::move(learned), path);
    }
    if (s) {
      sequences.push_back(std::move(*s));
    } else {
      result.left_out.push_back(too_long(row, path, max_tokens));
    }
  });
  if (alignment) result.aligned = alignment->share();
  return result;
}

std::vector<std::string> ask_endpoint(const Recipe& recipe, const ModelCard& card,
                                      std::span<const Example> examples, const Tokenizer& tokenizer,
                                      const RunOptions& options) {
  const SignalHeader header = run_signal_header(recipe, card, tokenizer, {});
  SignalStore store = SignalStore::create_or_resume(options.directory + "/answers.sqlite", header);
  // The test file may have been changed since: an answer counts where it is to this prompt. One to
  // another prompt stays, and this example takes the next number.
  std::vector<SignalRequest> requests;
  std::map<std::pair<int64_t, int>, std::string> prompts;
  store.for_each([&](const SignalRow& row) { prompts[{row.example, row.sample}] = row.prompt; });
  store.for_each_unanswered([&](const VainQuestion& one) {
    prompts[{one.example, one.sample}] = one.prompt;
  });
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::string prompt = prompt_to_ask(examples[i]);
    int sample = 0;
    for (auto at = prompts.find({index, sample}); at != prompts.end() && at->second != prompt;)
      at = prompts.find({index, ++sample});
    requests.push_back({index, sample, &examples[i], true});
  }
  EndpointOptions ask = endpoint_options(recipe, card, SignalKind::kText);
  // One cap for all that a run asks.
  const Spending before = SignalStore::open(options.directory + "/signals.sqlite").spent();
  if (ask.max_total_tokens > 0) {
    ask.max_total_tokens = std::max<int64_t>(1, ask.max_total_tokens - before.tokens());
  }
  if (ask.max_cost > 0) ask.max_cost = std::max(1e-9, ask.max_cost - before.money);
  // What was cut off is an answer all the same: it is scored, not learned.
  ask.keep_cut = true;
  ask.keep_reasoning = false;  // what is scored is the answer behind it
  EndpointTeacher endpoint(ask, tokenizer, card);
  const Gathered gathered = gather_signals(endpoint, requests, store, answer_limits(recipe));
  if (gathered.tally.left_out() > 0) say("teacher: of the test prompts, {}\n", gathered.sum);
  std::vector<std::string> answers(examples.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (store.contains(requests[i].example, requests[i].sample))
      answers[i] = store.read(requests[i].example, requests[i].sample).text;
  }
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
  SignalHeader header = run_signal_header(recipe, teacher.card, tokenizer, teacher.telling);
  header.kind = kind;
  header.draws_or_k = kind == SignalKind::kText ? 0 : s.count;
  header.temperature = s.temperature;
  const std::string path = options.directory + "/signals.sqlite";
  SignalStore store = SignalStore::create_or_resume(path, header);
  const std::vector<Example> train =
      one_for_each_text(tokenizer, teacher.card, data.train, recipe.data.max_tokens);
  std::vector<SignalRequest> requests;
  for (size_t i = 0; i < train.size(); ++i) {
    const auto example = static_cast<int64_t>(i);
    if (s.texts != "teacher") requests.push_back({example, 0, &train[i], false});
    if (s.texts == "gold") continue;
    for (int k = 0; k < s.samples; ++k) requests.push_back({example, 1 + k, &train[i], true});
  }
  for (size_t i = 0; i < data.prompts.size(); ++i) {
    const auto example = static_cast<int64_t>(train.size() + i);
    for (int k = 0; k < s.samples; ++k)
      requests.push_back({example, 1 + k, &data.prompts[i], true});
  }
  if (s.kind == "memory" && !teacher.telling.empty()) {
    say("note: [signals] kind = \"memory\": beside the student the teacher reads the student's "
        "prompt, without what it is told (teacher.system, labels); \"draws\" are of what it is "
        "told\n");
  }
  const auto gathered_sequences = [&](Teacher& asked) {
    const AnswerLimits limits = answer_limits(recipe);
    const Gathered gathered = gather_signals(asked, requests, store, limits);
    gathered.require_rows(limits);
    for (const std::string& line : gathered.lines) say("teacher: {}\n", line);
    SignalSequences read =
        read_signal_sequences(path, teacher.card, tokenizers, recipe.data.max_tokens, train);
    read.notes = teacher.notes;
    read.notes.insert(read.notes.end(), gathered.lines.begin(), gathered.lines.end());
    return read;
  };
  if (recipe.has_endpoint()) {
    EndpointTeacher endpoint(endpoint_options(recipe, teacher.card, kind), tokenizer, teacher.card);
    return gathered_sequences(endpoint);
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
  ask.keep_reasoning = recipe.endpoint.reasoning == "keep";
  ask.keep_cut = s.cut == "keep";
  ask.telling = teacher.telling;
  ask.labels = teacher.card.labels;
  LocalTeacher local(*teacher.model, tokenizer, teacher.card, header.teacher_id, ask);
  return gathered_sequences(local);
}

}  // namespace alambic
