#include "alambic/eval/task.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "alambic/autograd/ops.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/progress.h"
#include "alambic/data/puzzles.h"
#include "alambic/data/reasoning.h"
#include "alambic/decode/closed_sets.h"
#include "alambic/decode/encoding.h"
#include "alambic/eval/bleu.h"
#include "alambic/eval/drafts.h"
#include "alambic/eval/rouge.h"
#include "alambic/eval/score.h"
#include "alambic/eval/slots.h"

namespace alambic {
namespace {

constexpr std::array<TaskTraits, 7> kTraits{{{"bleu", "BLEU", false, false},
                                             {"accuracy", "accuracy", true, false},
                                             {"exact", "exact match", true, false},
                                             {"slots", "slot F1", true, false},
                                             {"rouge", "ROUGE-L", true, false},
                                             {"perplexity", "perplexity", false, true},
                                             {"solved", "solved", true, false}}};

// The rows that predict what is learned of each example, and what they should say.
struct References {
  std::vector<TokenId> tokens, labels;
  Forward forward;
  std::vector<int64_t> rows;
  std::vector<int> counts;  // labels per example that can be read
  std::vector<LeftOut> unread;
  int64_t long_texts = 0, windows = 0;

  // Counts the learned tokens from `first` on of a text that stands at [begin, end) of one.
  int add(const EncodedText& text, size_t begin, size_t end, size_t first) {
    int count = 0;
    const auto prompt = static_cast<size_t>(text.prompt_tokens);
    for (size_t t = std::max(first, prompt); t < end; ++t) {
      if (!text.learned.empty() && !text.learned[t - prompt]) continue;
      rows.push_back(static_cast<int64_t>(tokens.size() + t - begin) - 1);
      labels.push_back(text.tokens[t]);
      ++count;
    }
    forward.groups.push_back({.rows = static_cast<int>(end - begin), .position = 0});
    tokens.insert(tokens.end(), text.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                  text.tokens.begin() + static_cast<std::ptrdiff_t>(end));
    return count;
  }

  int add_in_windows(const EncodedText& text, size_t positions) {
    const size_t size = text.tokens.size();
    if (size <= positions) return add(text, 0, size, 0);
    const size_t step = std::max<size_t>(1, positions / 2);
    ++long_texts;
    int count = 0;
    for (size_t begin = 0, seen = 0; seen < size; begin += step) {
      const size_t end = std::min(size, begin + positions);
      // A window without anything to learn need not be read.
      if (end > static_cast<size_t>(text.prompt_tokens)) {
        count += add(text, begin, end, std::max(seen, begin + 1));
        ++windows;
      }
      seen = end;
    }
    return count;
  }
};

References references(const Encoder& encoder, std::span<const Example> examples,
                      Precision precision, int positions) {
  References r;
  r.forward.precision = precision;
  for (const Example& example : examples) {
    try {
      int count = 0;
      for (const EncodedText& text : encoder.encode(example)) {
        if (text.has_answer) count += r.add_in_windows(text, static_cast<size_t>(positions));
      }
      if (count > 0) {
        r.counts.push_back(count);
      } else {
        r.unread.push_back({LeftOut::Reason::kNoAnswer, place_of(example), ""});
      }
    } catch (const Error& error) {
      r.unread.push_back({LeftOut::Reason::kNotValid, place_of(example), error.what()});
    }
  }
  return r;
}

HeadLoss score_references(const LanguageModel& model, const References& r,
                          std::vector<TokenId> labels) {
  const NoGrad no_grad;
  HeadTargets targets;
  targets.label_weights.assign(labels.size(), 1.0F);
  targets.labels = std::move(labels);
  targets.excluded = model.config().mask;
  return head_loss(gather_rows(model.hidden(r.tokens, r.forward), r.rows), model.head(), targets,
                   r.forward.precision, model.head_bias());
}

constexpr size_t kExamplesPerForward = 16;

template <class Visit>
void for_each_chunk(std::span<const Example> examples, const std::string& label,
                    const Visit& visit) {
  std::optional<Progress> progress;
  if (!label.empty()) progress.emplace(label, static_cast<int64_t>(examples.size()));
  for (size_t first = 0; first < examples.size(); first += kExamplesPerForward) {
    visit(examples.subspan(first, std::min(kExamplesPerForward, examples.size() - first)));
    if (progress)
      progress->update(
          static_cast<int64_t>(std::min(examples.size(), first + kExamplesPerForward)));
  }
}

TaskResult run_perplexity(const LanguageModel& model, const Tokenizer& tokenizer,
                          const ModelCard& card, std::span<const Example> examples,
                          const TaskOptions& options) {
  TaskResult result;
  const Stopwatch watch;
  std::vector<DocumentNll> documents;
  const Encoder encoder(tokenizer, card);
  for_each_chunk(examples, options.progress, [&](std::span<const Example> chunk) {
    const References r =
        references(encoder, chunk, options.generate.precision, model.config().max_positions);
    result.unread.insert(result.unread.end(), r.unread.begin(), r.unread.end());
    result.long_texts += r.long_texts;
    result.windows += r.windows;
    if (r.labels.empty()) return;
    const HeadLoss loss = score_references(model, r, r.labels);
    size_t next = 0;
    for (const int count : r.counts) {
      DocumentNll document{0, count};
      for (int i = 0; i < count; ++i) document.nll += loss.cross_entropy[next++];
      documents.push_back(document);
    }
    result.tokens += static_cast<int64_t>(r.labels.size());
    ++result.forwards;
  });
  result.seconds = watch.seconds();
  if (documents.empty()) {
    fail(ErrorCode::kInvalidArgument, "[eval] none of the {} rows can be read; the first: {}",
         examples.size(), in_words(result.unread.front()));
  }
  result.evidence = perplexity_evidence(documents);
  result.score = score_of(result.evidence);
  return result;
}

// What is asked of each example that can be read, by the closed set that its answer comes from.
class Questions {
 public:
  struct Group {
    std::vector<Prompt> prompts;
    std::vector<size_t> examples;  // beside prompts
  };

  Questions(const Tokenizer& tokenizer, const ModelCard& card, const ModelConfig& config, Task task,
            std::span<const Example> examples)
      : encoder_(tokenizer, card),
        closed_(task == Task::kAccuracy && !card.labels.empty()),
        sets_(encoder_, encoder_.card().labels),
        positions_(config.max_positions) {
    for (size_t i = 0; i < examples.size(); ++i) {
      try {
        add(examples[i], i);
      } catch (const Error& error) {
        unread_.push_back({LeftOut::Reason::kNotValid, place_of(examples[i]), error.what()});
      }
    }
  }

  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<LeftOut>& unread() const { return unread_; }
  // The set that the answers of a group come from; null: any text.
  const TokenTrie* choices(size_t group) const { return closed_ ? &sets_.set(group) : nullptr; }
  std::string label(size_t group, std::span<const TokenId> tokens) const {
    const size_t label = sets_.label_of(group, tokens);
    return label < encoder_.card().labels.size() ? encoder_.card().labels[label] : "";
  }

 private:
  void add(const Example& example, size_t index) {
    std::vector<TokenId> prompt = encoder_.question(example);
    const auto too_long = [&](std::string detail) {
      unread_.push_back({LeftOut::Reason::kTooLong, place_of(example), std::move(detail)});
    };
    const int room = positions_ - static_cast<int>(prompt.size());
    if (room < 1) {
      return too_long(fmt::format("a prompt of {} tokens; the model has {} positions",
                                  prompt.size(), positions_));
    }
    const size_t group = closed_ ? sets_.index_of(example, prompt) : 0;
    if (closed_ && sets_.set(group).longest() > static_cast<size_t>(room)) {
      return too_long(fmt::format("a choice has {} tokens; there is room for {}",
                                  sets_.set(group).longest(), room));
    }
    if (groups_.size() <= group) groups_.resize(group + 1);
    groups_[group].prompts.push_back({std::move(prompt)});
    groups_[group].examples.push_back(index);
  }

  Encoder encoder_;
  bool closed_;
  ClosedSets sets_;
  int positions_;
  std::vector<Group> groups_;
  std::vector<LeftOut> unread_;
};

// Without the spaces around them: those before an answer may be the prompt's as well.
std::vector<std::string> without_outer_spaces(std::span<const std::string> texts) {
  std::vector<std::string> out;
  for (const std::string& text : texts) {
    const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
    out.push_back(text.substr(begin, text.find_last_not_of(" \t") + 1 - begin));
  }
  return out;
}

// Share of puzzles whose answer the verifier takes, whatever the completion says.
Evidence solved_evidence(std::span<const std::string> answers, std::span<const Example> examples) {
  require_same_count("solved", answers.size(), examples.size());
  std::vector<double> solved;
  solved.reserve(answers.size());
  for (size_t i = 0; i < answers.size(); ++i)
    solved.push_back(solves_puzzle(examples[i].prompt, answers[i]) ? 1 : 0);
  return mean_evidence(std::move(solved));
}

}  // namespace

Task task_from_name(std::string_view name) {
  for (size_t i = 0; i < kTraits.size(); ++i) {
    if (name == kTraits[i].name) return static_cast<Task>(i);
  }
  fail(ErrorCode::kInvalidArgument,
       "[task] unknown task \"{}\"; want bleu, accuracy, exact, slots, rouge, perplexity or solved",
       name);
}

const TaskTraits& traits(Task task) { return kTraits[static_cast<size_t>(task)]; }

Evidence score_answers(Task task, std::span<const std::string> given,
                       std::span<const Example> examples) {
  // What a model thinks before it answers is no part of the answer.
  std::vector<std::string> answers, wanted;
  for (const std::string& text : given) answers.push_back(final_answer(text));
  for (const Example& example : examples) wanted.push_back(final_answer(example.completion));
  switch (task) {
    case Task::kBleu:
      return bleu_evidence(answers, wanted);
    case Task::kAccuracy:
      return accuracy_evidence(without_outer_spaces(answers), without_outer_spaces(wanted));
    case Task::kExact:
      return exact_match_evidence(answers, wanted);
    case Task::kSlots:
      return slot_evidence(answers, wanted).f1;
    case Task::kRouge:
      return rouge_l_evidence(answers, wanted);
    case Task::kSolved:
      return solved_evidence(answers, examples);
    case Task::kPerplexity:
      break;
  }
  fail(ErrorCode::kInvalidArgument, "[task] perplexity has no answers to score");
}

TaskResult run_task(Task task, const LanguageModel& model, const Tokenizer& tokenizer,
                    const ModelCard& card, std::span<const Example> examples,
                    const TaskOptions& options) {
  if (examples.empty()) fail(ErrorCode::kInvalidArgument, "[eval] there is no example to score");
  if (task == Task::kPerplexity && !model.config().causal) {
    fail(ErrorCode::kUnsupported,
         "[eval] perplexity is of a model that writes from left to right; this one is "
         "bidirectional");
  }
  if (task == Task::kPerplexity) return run_perplexity(model, tokenizer, card, examples, options);
  Questions questions(tokenizer, card, model.config(), task, examples);
  GenerateOptions generate = options.generate;
  if (card.canvas > 0) generate.max_tokens = std::min(card.canvas, generate.max_tokens);
  generate.stop = stop_tokens(tokenizer, model.config());
  generate.vocabulary = tokenizer.vocab_size();
  TaskResult result;
  result.answers.resize(examples.size());
  const Stopwatch watch;
  for (size_t g = 0; g < questions.groups().size(); ++g) {
    const Questions::Group& group = questions.groups()[g];
    if (group.prompts.empty()) continue;
    const TokenTrie* choices =
        options.mode == DecodeMode::kDiffusion ? nullptr : questions.choices(g);
    generate.constraint = choices;
    if (choices != nullptr)
      generate.max_tokens = std::max(generate.max_tokens, static_cast<int>(choices->longest()));
    const std::vector<Generation> texts =
        generate_all(options.mode, model, group.prompts, generate,
                     {.batch = options.batch, .progress = options.progress});
    for (size_t i = 0; i < texts.size(); ++i) {
      const Generation& text = texts[i];
      result.answers[group.examples[i]] =
          choices != nullptr ? questions.label(g, text.tokens) : tokenizer.decode(text.tokens);
      result.tokens += static_cast<int64_t>(text.tokens.size()) + (text.stopped ? 1 : 0);
      result.forwards += text.forwards;
      add_drafts(result.drafts, text.drafts);
    }
  }
  result.seconds = watch.seconds();
  result.unread = questions.unread();
  result.evidence = score_answers(task, result.answers, examples);
  result.score = score_of(result.evidence);
  return result;
}

Score agreement(const LanguageModel& a, const LanguageModel& b, const Tokenizer& tokenizer,
                const ModelCard& card, std::span<const Example> examples, Precision precision) {
  const NoGrad no_grad;
  const auto vocab =
      std::min({a.config().vocab_size, b.config().vocab_size, tokenizer.vocab_size()});
  const auto choices = [&](const LanguageModel& model, const References& r) {
    Tensor logits = model.logits(gather_rows(model.hidden(r.tokens, r.forward), r.rows), precision);
    std::vector<int64_t> best;
    for (int64_t row = 0; row < logits.rows(); ++row) {
      if (model.config().mask >= 0) logits.row(row)[model.config().mask] = -1e30F;
      best.push_back(kernels::kernels().argmax(logits.row(row), vocab));
    }
    return best;
  };
  std::vector<double> shares;
  const Encoder encoder(tokenizer, card);
  for_each_chunk(examples, "", [&](std::span<const Example> chunk) {
    const References r = references(encoder, chunk, precision,
                                    std::min(a.config().max_positions, b.config().max_positions));
    if (r.labels.empty()) return;
    const auto left = choices(a, r), right = choices(b, r);
    size_t next = 0;
    for (const int count : r.counts) {
      int same = 0;
      for (int i = 0; i < count; ++i, ++next) same += left[next] == right[next] ? 1 : 0;
      shares.push_back(static_cast<double>(same) / count);
    }
  });
  return score_of(mean_evidence(std::move(shares)));
}

}  // namespace alambic
