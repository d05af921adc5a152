// What a run's task yields without a neural network, and whether its student is worth having.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/trimmed.h"
#include "alambic/data/signal_store.h"
#include "alambic/distill/answers.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/baseline.h"
#include "alambic/eval/linear_classifier.h"
#include "alambic/eval/score.h"
#include "alambic/eval/task.h"

namespace alambic {
namespace {

constexpr size_t kNearestNeighbourExamples = 20000;

struct LabelledTexts {
  std::vector<std::string> texts, labels;

  void add(std::string_view text, std::string_view label) {
    texts.emplace_back(text);
    labels.emplace_back(label);
  }
};

// A unigram model with add-one smoothing: the perplexity of knowing the frequencies alone.
Score unigram_perplexity(const RunData& data, const Tokenizer& tokenizer) {
  std::map<TokenId, double> counts;
  double total = 0;
  for (const Example& e : data.train) {
    for (const TokenId id : tokenizer.encode(e.completion)) counts[id] += 1, total += 1;
  }
  std::vector<DocumentNll> documents;
  for (const Example& e : data.test) {
    DocumentNll document;
    for (const TokenId id : tokenizer.encode(e.completion)) {
      const auto it = counts.find(id);
      document.nll -=
          std::log(((it == counts.end() ? 0 : it->second) + 1) / (total + tokenizer.vocab_size()));
      ++document.tokens;
    }
    if (document.tokens > 0) documents.push_back(document);
  }
  return perplexity(documents);
}

LabelledTexts owners_rows(const RunData& data) {
  LabelledTexts rows;
  for (const Example& e : data.train) {
    if (!e.completion.empty()) rows.add(e.prompt, trimmed(e.completion));
  }
  return rows;
}

// The owner's rows, and for prompts without a label of the owner what the teacher answered. As the
// student, whose answers are a closed set, it learns no label that the owner does not have.
LabelledTexts with_teachers_answers(const LabelledTexts& owner, const std::string& store) {
  LabelledTexts rows = owner;
  if (!file_exists(store)) return rows;
  const std::set<std::string, std::less<>> labelled(owner.texts.begin(), owner.texts.end());
  const std::set<std::string, std::less<>> labels(owner.labels.begin(), owner.labels.end());
  SignalStore::open(store).for_each([&](const SignalRow& row) {
    const std::string_view label = trimmed(row.text);
    if (row.sample > 0 && labels.contains(label) && !labelled.contains(row.prompt))
      rows.add(row.prompt, label);
  });
  return rows;
}

struct LinearBaseline {
  BaselineReport report;
  Evidence evidence;
  LinearClassifier model;
  double seconds;
};

LinearBaseline learn(const char* labels, const LabelledTexts& rows, const RunData& data) {
  const Stopwatch watch;
  const Heartbeat beat(fmt::format("baseline on {}", labels));
  LinearClassifier model(rows.texts, rows.labels, {.learned_from = labels});
  std::vector<std::string> answers;
  answers.reserve(data.test.size());
  const double seconds = watch.seconds();
  for (const Example& e : data.test) answers.push_back(model.predict(e.prompt));
  Evidence evidence = score_answers(Task::kAccuracy, answers, data.test);
  return {{fmt::format("TF-IDF + linear, on {}", labels), score_of(evidence)},
          evidence,
          std::move(model),
          seconds};
}

std::string recommendation(const LinearBaseline& best, const Evidence& student,
                           const RunOptions& options) {
  const PairedComparison over = paired_bootstrap(best.evidence, student);
  const double own = value_of(student);
  return fmt::format(
      "TF-IDF with a linear model, trained on {} in {:.1f} s, scores {:.1f} % beside the student's "
      "{:.1f} %{}: take it instead of the student; it is kept in {}/baseline, which alambic eval, "
      "generate and serve open as any classifier",
      best.model.learned_from(), std::max(0.1, best.seconds), 100 * best.report.score.value,
      100 * own,
      over.difference > 0
          ? fmt::format(" (better in {:.1f} % of resamples)", 100 * over.probability)
          : "",
      options.destination);
}

void add_linear(const Recipe& recipe, const RunData& data, const Evidence& student,
                const RunOptions& options, Baselines& baselines) {
  std::vector<LinearBaseline> learned;
  const LabelledTexts owner = owners_rows(data);
  learned.push_back(learn("the owner's labels", owner, data));
  const LabelledTexts taught = with_teachers_answers(owner, options.directory + "/signals.sqlite");
  if (taught.texts.size() > owner.texts.size())
    learned.push_back(learn("the teacher's answers", taught, data));
  // Among equals the last, which has seen more.
  LinearBaseline& best = *std::max_element(learned.rbegin(), learned.rend(),
                                           [](const LinearBaseline& a, const LinearBaseline& b) {
                                             return a.report.score.value < b.report.score.value;
                                           });
  const std::string directory = options.directory + "/baseline";
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  if (best.report.score.value >= value_of(student)) {
    best.report.recommended = true;
    best.model.save(directory);
    note_training_data(recipe, data, directory);
    baselines.notes.push_back(recommendation(best, student, options));
  }
  for (LinearBaseline& one : learned) baselines.list.push_back(std::move(one.report));
}

}  // namespace

Baselines measure_baselines(const Recipe& recipe, const RunData& data, const Tokenizer& tokenizer,
                            const Evidence& student, const RunOptions& options) {
  const Task task = task_from_name(recipe.task);
  Baselines baselines;
  if (task == Task::kPerplexity) {
    baselines.list = {{"unigram frequencies", unigram_perplexity(data, tokenizer)}};
    return baselines;
  }
  std::vector<std::string> prompts, completions;
  for (const Example& e : data.train) {
    prompts.push_back(e.prompt);
    completions.push_back(e.completion);
  }
  const auto scored = [&](const auto& answer) {
    std::vector<std::string> answers;
    for (const Example& e : data.test) answers.push_back(answer(e.prompt));
    return score_of(score_answers(task, answers, data.test));
  };
  const std::string constant = most_frequent(completions);
  baselines.list.push_back({task == Task::kAccuracy ? "majority class" : "most frequent answer",
                            scored([&](const std::string&) { return std::string(constant); })});
  if (task == Task::kAccuracy) {
    add_linear(recipe, data, student, options, baselines);
    return baselines;
  }
  prompts.resize(std::min(prompts.size(), kNearestNeighbourExamples));
  completions.resize(prompts.size());
  const NearestNeighbour nearest(prompts, completions);
  baselines.list.push_back(
      {"nearest neighbour", scored([&](const std::string& p) { return nearest.complete(p); })});
  return baselines;
}

}  // namespace alambic
