#include "alambic/eval/task.h"

#include <algorithm>
#include <array>
#include <optional>

#include "alambic/autograd/ops.h"
#include "alambic/autograd/ops_head.h"
#include "alambic/base/progress.h"
#include "alambic/data/puzzles.h"
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

// The rows that predict the completion of each example, and what they should say.
struct References {
  std::vector<TokenId> tokens, labels;
  Forward forward;
  std::vector<int64_t> rows;
  std::vector<int> counts;  // labels per example
};

References references(const Tokenizer& tokenizer, const ModelCard& card,
                      std::span<const Example> examples, Precision precision) {
  References r;
  r.forward.precision = precision;
  for (const Example& example : examples) {
    std::vector<TokenId> tokens = encode_prompt(tokenizer, card, example.prompt);
    const size_t prompt = tokens.size();
    const auto answer =
        tokenizer.encode(example.completion, {.special_prefix = false, .parse_special = false});
    tokens.insert(tokens.end(), answer.begin(), answer.end());
    tokens.push_back(end_token(tokenizer));
    for (size_t t = prompt; t < tokens.size(); ++t) {
      r.rows.push_back(static_cast<int64_t>(r.tokens.size() + t) - 1);
      r.labels.push_back(tokens[t]);
    }
    r.counts.push_back(static_cast<int>(tokens.size() - prompt));
    r.forward.groups.push_back({.rows = static_cast<int>(tokens.size()), .position = 0});
    r.tokens.insert(r.tokens.end(), tokens.begin(), tokens.end());
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
  for_each_chunk(examples, options.progress, [&](std::span<const Example> chunk) {
    const References r = references(tokenizer, card, chunk, options.generate.precision);
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
  result.evidence = perplexity_evidence(documents);
  result.score = score_of(result.evidence);
  return result;
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

Evidence score_answers(Task task, std::span<const std::string> answers,
                       std::span<const Example> examples) {
  std::vector<std::string> wanted;
  for (const Example& example : examples) wanted.push_back(example.completion);
  switch (task) {
    case Task::kBleu:
      return bleu_evidence(answers, wanted);
    case Task::kAccuracy:
      return accuracy_evidence(answers, wanted);
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
  std::optional<TokenTrie> trie;
  if (task == Task::kAccuracy && !card.labels.empty()) {
    std::vector<std::vector<TokenId>> choices;
    for (const std::string& label : card.labels) {
      choices.push_back(tokenizer.encode(label, {.special_prefix = false, .parse_special = false}));
    }
    trie.emplace(choices);
  }
  std::vector<Prompt> prompts;
  for (const Example& example : examples)
    prompts.push_back({encode_prompt(tokenizer, card, example.prompt)});
  GenerateOptions generate = options.generate;
  if (card.canvas > 0) generate.max_tokens = std::min(card.canvas, generate.max_tokens);
  generate.stop = stop_tokens(tokenizer, model.config());
  generate.vocabulary = tokenizer.vocab_size();
  generate.constraint = trie && options.mode != DecodeMode::kDiffusion ? &*trie : nullptr;
  TaskResult result;
  const Stopwatch watch;
  const std::vector<Generation> texts =
      generate_all(options.mode, model, prompts, generate,
                   {.batch = options.batch, .progress = options.progress});
  result.seconds = watch.seconds();
  for (const Generation& text : texts) {
    result.answers.push_back(tokenizer.decode(text.tokens));
    result.tokens += static_cast<int64_t>(text.tokens.size()) + (text.stopped ? 1 : 0);
    result.forwards += text.forwards;
    add_drafts(result.drafts, text.drafts);
  }
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
  for_each_chunk(examples, "", [&](std::span<const Example> chunk) {
    const References r = references(tokenizer, card, chunk, precision);
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
