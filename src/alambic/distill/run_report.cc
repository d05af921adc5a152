// Measures the models of a run on the same data and writes down what came out.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iterator>
#include <numeric>

#include "alambic/base/file.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/base/shell.h"
#include "alambic/base/thread_pool.h"
#include "alambic/data/reasoning.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/replay.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/drafts.h"
#include "alambic/eval/quality_curve.h"
#include "alambic/eval/score.h"
#include "alambic/eval/task.h"
#include "alambic/kernels/table.h"

namespace alambic {
namespace {

constexpr size_t kAgreementExamples = 100;

std::string processor_name() {
  if (!file_exists("/proc/cpuinfo")) return "unknown processor";
  const std::string text = read_file("/proc/cpuinfo");
  for (const std::string_view line : split_lines(text)) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string_view::npos)
      return std::string(line.substr(colon + 2));
  }
  return "unknown processor";
}

// A bidirectional model writes its canvas as it was trained, whatever hybrids draft.
int block_of(const RunModel& m, const EvalRecipe& eval) {
  return m.model->config().causal ? eval.block : m.card.block;
}

struct Speed {
  DecodeReport report;
  std::vector<std::vector<TokenId>> answers;
};

GenerateOptions writing_options(const RunModel& student, const Tokenizer& tokenizer,
                                const EvalRecipe& eval) {
  GenerateOptions options;
  options.max_tokens = student.card.canvas > 0 ? student.card.canvas : eval.max_new_tokens;
  options.stop = stop_tokens(tokenizer, student.model->config());
  options.vocabulary = tokenizer.vocab_size();
  options.block = block_of(student, eval);
  options.reveal.threshold = eval.threshold;
  return options;
}

// One prompt at a time, as a single user meets it.
Speed decode_speed(DecodeMode mode, const RunModel& student, const Tokenizer& tokenizer,
                   const std::vector<Prompt>& prompts, const EvalRecipe& eval) {
  const GenerateOptions options = writing_options(student, tokenizer, eval);
  const Stopwatch watch;
  Speed speed;
  int64_t tokens = 0, forwards = 0;
  std::vector<DraftCount> drafts;
  for (const Generation& g :
       generate_all(mode, *student.model, prompts, options,
                    {.batch = 1, .progress = fmt::format("speed of {}", name_of(mode))})) {
    tokens += static_cast<int64_t>(g.tokens.size()) + (g.stopped ? 1 : 0);
    forwards += g.forwards;
    speed.answers.push_back(g.tokens);
    add_drafts(drafts, g.drafts);
  }
  speed.report.acceptance = acceptance_of(drafts);
  speed.report.mode = name_of(mode);
  speed.report.tokens_per_s = static_cast<double>(tokens) / watch.seconds();
  speed.report.tokens_per_forward =
      forwards > 0 ? static_cast<double>(tokens) / static_cast<double>(forwards) : 0;
  return speed;
}

// A held-out prompt to try, as a word for the shell: the first short one.
std::string example_prompt(const RunData& data) {
  constexpr size_t kShort = 240;
  for (const std::vector<Example>* source : {&data.prompts, &data.test}) {
    for (const Example& e : *source) {
      if (!e.prompt.empty() && e.prompt.size() <= kShort) return shell_quoted(e.prompt);
    }
  }
  return "\"…\"";
}

class Measurement {
 public:
  Measurement(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
              const RunModels& models, Heard heard, const RunOptions& options)
      : recipe_(recipe),
        data_(data),
        tokenizers_(tokenizers),
        models_(models),
        heard_(heard),
        options_(options),
        task_(task_from_name(recipe.task)),
        hybrid_(recipe.objective.draft_weight > 0) {}

  RunReport run() {
    report_.name = recipe_.name;
    report_.task = recipe_.task;
    report_.metric = traits(task_).metric;
    report_.metric_is_fraction = traits(task_).fraction;
    report_.metric_lower_is_better = traits(task_).lower_is_better;
    score_models();
    Baselines simple =
        measure_baselines(recipe_, data_, tokenizers_.student, student().evidence, options_);
    report_.baselines = std::move(simple.list);
    std::move(simple.notes.begin(), simple.notes.end(), std::back_inserter(report_.notes));
    decode_modes();
    report_.student_agreement = agree(models_.student(), student());
    report_.control_agreement = agree(models_.control(), control());
    note_what_is_as_good();
    curves();
    samples();
    report_.machine = fmt::format("{}, {} threads, {}", processor_name(), thread_count(),
                                  kernels::isa_name(kernels::kernels().isa));
    report_.created = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
    report_.versions = {{"alambic", ALAMBIC_VERSION}};
    return std::move(report_);
  }

 private:
  TaskOptions options(const RunModel& m, DecodeMode mode) const {
    TaskOptions o;
    o.mode = mode;
    o.generate.max_tokens = recipe_.eval.max_new_tokens;
    o.generate.block = block_of(m, recipe_.eval);
    o.generate.reveal.threshold = recipe_.eval.threshold;
    o.progress = "evaluate " + m.name;
    return o;
  }
  TaskResult measure(const RunModel& m, const Tokenizer& tokenizer, DecodeMode mode) const {
    return run_task(task_, *m.model, tokenizer, m.card, as_asked(m, data_.test), options(m, mode));
  }
  // As the model writes by itself.
  TaskResult measure(const RunModel& m, const Tokenizer& tokenizer) const {
    return measure(m, tokenizer, natural_mode(m.model->config()));
  }
  const TaskResult& student() const { return results_.at(Arm::kStudent); }
  const TaskResult& control() const { return results_.at(Arm::kControl); }
  static ModelReport describe(const RunModel& m, const TaskResult& result) {
    return {m.name, m.model->config().parameters(), m.bytes, result.score};
  }

  // A teacher behind an endpoint answers the same prompts. Nobody knows its size, and it scores no
  // texts for a perplexity.
  ModelReport measure_endpoint() {
    ModelReport report{teacher_name(recipe_), std::nullopt, std::nullopt, std::nullopt};
    if (task_ == Task::kPerplexity) return report;
    teacher_.answers =
        ask_endpoint(recipe_, models_.teacher.card, data_.test, tokenizers_.teacher, options_);
    teacher_.evidence = score_answers(task_, teacher_.answers, data_.test);
    teacher_.score = score_of(teacher_.evidence);
    report.score = teacher_.score;
    return report;
  }

  void score_models() {
    if (models_.teacher.model) {
      teacher_ = measure(models_.teacher, tokenizers_.teacher);
      report_.teacher = describe(models_.teacher, teacher_);
    } else {
      report_.teacher = measure_endpoint();
    }
    for (const auto& [arm, model] : models_.arms)
      results_.emplace(arm, measure(model, tokenizers_.student));
    note_unread();
    note_open_traces();
    for (const auto& [arm, model] : models_.arms) {
      const ModelReport described = describe(model, results_.at(arm));
      if (arm == Arm::kStudent) {
        report_.student = described;
      } else if (arm == Arm::kControl) {
        report_.control = described;
      } else {
        report_.arms.push_back(described);
      }
    }
    if (report_.teacher->score) {
      split_gap();
    } else {
      report_.gap.reason = "nobody knows the score of the teacher behind the endpoint";
    }
    const bool lower = traits(task_).lower_is_better;
    report_.student_over_control = lower ? paired_bootstrap(control().evidence, student().evidence)
                                         : paired_bootstrap(student().evidence, control().evidence);
  }

  // What each training brought beside the one that it builds on.
  void split_gap() {
    const bool lower = traits(task_).lower_is_better;
    const Evidence& control = this->control().evidence;
    const auto share = [&](const Evidence& from, const Evidence& to) {
      return gap_share(teacher_.evidence, control, from, to, lower);
    };
    const Evidence* before = &control;
    if (const auto start = results_.find(Arm::kStart); start != results_.end()) {
      report_.gap_parts.push_back({"weights", share(control, start->second.evidence)});
      before = &start->second.evidence;
    }
    const Evidence& student = this->student().evidence;
    report_.gap = share(*before, student);
    const auto texts = results_.find(Arm::kTexts);
    const bool apart = texts != results_.end();
    if (apart) {
      report_.gap_parts.push_back({"answers", share(*before, texts->second.evidence)});
      before = &texts->second.evidence;
    }
    const char* rest = apart || !heard_.texts ? "probabilities"
                       : heard_.probabilities ? "answers and probabilities"
                                              : "answers";
    report_.gap_parts.push_back({rest, share(*before, student)});
    if (const auto own = results_.find(Arm::kOnPolicy); own != results_.end())
      report_.gap_parts.push_back({name_of(Arm::kOnPolicy), share(student, own->second.evidence)});
    if (!report_.gap.value) report_.gap_parts.clear();
  }

  // A trace that nobody closes is no answer.
  void note_open_traces() {
    const auto open =
        std::count_if(student().answers.begin(), student().answers.end(),
                      [](const std::string& answer) { return without_reasoning(answer).open; });
    if (open == 0) return;
    report_.notes.push_back(fmt::format(
        "{} of {} answers of the student end inside their reasoning and count as wrong; "
        "eval.max_new_tokens = {}",
        open, student().answers.size(), recipe_.eval.max_new_tokens));
  }

  // Student and control read alike: said once of both.
  void note_unread() {
    const auto say = [&](const char* who, const TaskResult& result) {
      if (result.unread.empty()) return;
      const bool one = result.unread.size() == 1;
      const bool wrong = task_ != Task::kPerplexity;
      report_.notes.push_back(
          fmt::format("{} cannot read {} of the test set, which {}; {}: {}", who,
                      counted(static_cast<long long>(result.unread.size()), "row"),
                      wrong ? (one ? "counts as wrong" : "count as wrong")
                            : (one ? "is left out" : "are left out"),
                      one ? "it is" : "the first is", in_words(result.unread[0])));
    };
    say("the teacher", teacher_);
    if (student().unread == control().unread) return say("student and control", student());
    say("the student", student());
    say("the control", control());
  }

  // Nothing where the prompt leaves no room for an answer, or the template refuses it: the score
  // counts and names such rows.
  static std::optional<Prompt> prompt_for(const RunModel& m, const Encoder& encoder,
                                          const Example& example) {
    Prompt prompt;
    try {
      prompt.tokens = encoder.question(example);
    } catch (const Error&) {
      return std::nullopt;
    }
    const auto positions = static_cast<size_t>(m.model->config().max_positions);
    if (prompt.tokens.size() >= positions) return std::nullopt;
    return prompt;
  }

  std::vector<Prompt> speed_prompts() const {
    const std::vector<Example>& source =
        task_ == Task::kPerplexity && !data_.prompts.empty() ? data_.prompts : data_.test;
    std::vector<Prompt> prompts;
    const Encoder encoder(tokenizers_.student, models_.student().card);
    for (const Example& e : source) {
      if (prompts.size() == static_cast<size_t>(recipe_.eval.speed_prompts)) break;
      if (auto prompt = prompt_for(models_.student(), encoder, e))
        prompts.push_back(*std::move(prompt));
    }
    return prompts;
  }

  void decode_modes() {
    const std::vector<Prompt> prompts = speed_prompts();
    std::vector<std::vector<TokenId>> plain;
    for (const std::string& name : recipe_.eval.decode) {
      const DecodeMode mode = decode_mode_from_name(name);
      const bool bidirectional = !models_.student().model->config().causal;
      const bool drafts = mode == DecodeMode::kSpeculative || mode == DecodeMode::kDiffusion;
      if (bidirectional ? mode != DecodeMode::kDiffusion : drafts && !hybrid_) continue;
      Speed speed =
          decode_speed(mode, models_.student(), tokenizers_.student, prompts, recipe_.eval);
      if (mode == DecodeMode::kAutoregressive) plain = speed.answers;
      if (task_ != Task::kPerplexity) {
        speed.report.score = mode == DecodeMode::kDiffusion
                                 ? measure(models_.student(), tokenizers_.student, mode).score
                                 : student().score;
      }
      if (mode == DecodeMode::kSpeculative && !plain.empty()) {
        const auto same = static_cast<size_t>(std::inner_product(
            plain.begin(), plain.end(), speed.answers.begin(), int64_t{0}, std::plus<>(),
            [](const auto& a, const auto& b) { return a == b ? 1 : 0; }));
        report_.notes.push_back(
            fmt::format("speculative decoding wrote the same tokens as ar on {} of {} prompts",
                        same, prompts.size()));
      }
      report_.decode.push_back(std::move(speed.report));
    }
    if (hybrid_) {
      quality_curve();
      replays(prompts);
    }
  }

  // On development data: what is chosen by it must not have been chosen on the test.
  void quality_curve() {
    const auto count =
        std::min(data_.validation.size(), static_cast<size_t>(recipe_.eval.dial_prompts));
    if (task_ == Task::kPerplexity || count == 0) return;
    const RunModel& student = models_.student();
    try {
      const QualityCurve curve = measure_quality(
          task_, *student.model, tokenizers_.student, student.card,
          std::span(data_.validation).first(count), options(student, DecodeMode::kAutoregressive));
      report_.quality.area = curve.area;
      report_.quality.points.push_back({"ar", curve.ar_tokens_per_s, curve.ar.value, false});
      for (const QualityMeasurement& m : curve.measured) {
        report_.quality.points.push_back(
            {setting_name(m.point), m.tokens_per_s, m.score.value, m.on_dial});
      }
      ModelCard card = student.card;
      card.dial = curve.dial;
      save_card(card, options_.directory + "/student");
    } catch (const Error& error) {
      // A student that scores nothing has no curve, which its score says better.
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      report_.notes.emplace_back(error.what());
    }
  }

  void replays(const std::vector<Prompt>& prompts) {
    constexpr size_t kReplays = 2;
    for (const DecodeMode mode : {DecodeMode::kDiffusion, DecodeMode::kSpeculative}) {
      const auto decoder = make_decoder(mode, *models_.student().model);
      for (size_t i = 0; i < std::min(prompts.size(), kReplays); ++i) {
        Replay replay(tokenizers_.student, models_.student().model->config().mask);
        ReplayReport shown{
            std::string(name_of(mode)), tokenizers_.student.decode(prompts[i].tokens), {}};
        const RefinementSink sink = [&](const Refinement& state) {
          shown.frames.push_back(replay.frame(state));
        };
        GenerateOptions o = writing_options(models_.student(), tokenizers_.student, recipe_.eval);
        o.watch = &sink;
        const Generation g = decoder->generate(prompts[i], o);
        sink({g.tokens, {}, g.forwards});
        report_.replays.push_back(std::move(shown));
      }
    }
  }

  // Of the test rows, those that both answer alike; where texts are scored, of their tokens those
  // that both would write next.
  std::optional<Score> agree(const RunModel& m, const TaskResult& result) const {
    if (task_ != Task::kPerplexity) {
      if (teacher_.answers.empty()) return std::nullopt;
      std::vector<double> same;
      same.reserve(result.answers.size());
      for (size_t i = 0; i < result.answers.size(); ++i)
        same.push_back(final_answer(result.answers[i]) == final_answer(teacher_.answers[i]) ? 1
                                                                                            : 0);
      return score_of(mean_evidence(same));
    }
    if (!models_.teacher.model || !tokenizers_.same || !m.model->config().causal ||
        !models_.teacher.model->config().causal)
      return std::nullopt;
    const std::span<const Example> some(data_.test.data(),
                                        std::min(data_.test.size(), kAgreementExamples));
    return agreement(*m.model, *models_.teacher.model, tokenizers_.teacher, m.card, some,
                     Precision::kFp32);
  }

  // What a reader should know before taking the student.
  void note_what_is_as_good() {
    const bool lower = traits(task_).lower_is_better;
    const auto beats = [&](const Evidence& a, const Evidence& b) {
      return lower ? paired_bootstrap(b, a) : paired_bootstrap(a, b);
    };
    if (const auto own = results_.find(Arm::kOnPolicy); own != results_.end()) {
      const PairedComparison over = beats(own->second.evidence, student().evidence);
      const char* what = over.interval.low > 0    ? "better than"
                         : over.interval.high < 0 ? "worse than"
                                                  : "not told apart from";
      report_.notes.push_back(fmt::format(
          "the student trained on-policy is {} the student on this many rows; it is kept in "
          "{}/on_policy",
          what, options_.destination));
    }
    const double score = student().score.value;
    const auto as_good = [&](double other) { return lower ? other <= score : other >= score; };
    if (as_good(control().score.value))
      report_.notes.push_back(fmt::format(
          "the control, which had no teacher, scores as well as the student: {}/control",
          options_.destination));
    for (const BaselineReport& simple : report_.baselines) {
      if (!simple.recommended && as_good(simple.score.value))
        report_.notes.push_back(
            fmt::format("as good as the student without any of this: {}", simple.name));
    }
  }

  void curves() {
    std::vector<const RunModel*> trained{&models_.teacher};
    for (const auto& [arm, model] : models_.arms) trained.push_back(&model);
    for (const RunModel* m : trained) {
      LossCurve learned{m->name, "tokens", {}}, held_out{m->name + ", held out", "tokens", {}};
      for (const CurvePoint& p : m->curve) {
        const auto x = static_cast<double>(p.tokens);
        if (std::isfinite(p.train_loss)) learned.points.emplace_back(x, p.train_loss);
        if (std::isfinite(p.validation_loss)) held_out.points.emplace_back(x, p.validation_loss);
      }
      if (!learned.points.empty()) report_.curves.push_back(std::move(learned));
      if (held_out.points.size() > 1) report_.curves.push_back(std::move(held_out));
    }
  }

  void samples() {
    if (task_ == Task::kPerplexity) return sample_texts();
    const size_t count = std::min(data_.test.size(), static_cast<size_t>(recipe_.eval.samples));
    for (size_t i = 0; i < count; ++i) {
      report_.samples.push_back({data_.test[i].prompt, data_.test[i].completion,
                                 teacher_.answers[i], student().answers[i], control().answers[i]});
    }
  }

  // Texts that the three models write from the same prompts.
  void sample_texts() {
    const auto write = [&](const RunModel& m, const Tokenizer& tokenizer,
                           const std::string& prompt) {
      GenerateOptions o;
      o.max_tokens = recipe_.eval.max_new_tokens;
      o.stop = stop_tokens(tokenizer, m.model->config());
      o.vocabulary = tokenizer.vocab_size();
      const auto p = prompt_for(m, Encoder(tokenizer, m.card), {.prompt = prompt});
      if (!p) return std::string("(the prompt is longer than this model reads)");
      return tokenizer.decode(
          make_decoder(natural_mode(m.model->config()), *m.model)->generate(*p, o).tokens);
    };
    const size_t count = std::min(data_.prompts.size(), static_cast<size_t>(recipe_.eval.samples));
    for (size_t i = 0; i < count; ++i) {
      const std::string& prompt = data_.prompts[i].prompt;
      report_.samples.push_back({prompt, "",
                                 models_.teacher.model
                                     ? write(models_.teacher, tokenizers_.teacher, prompt)
                                     : std::string(),
                                 write(models_.student(), tokenizers_.student, prompt),
                                 write(models_.control(), tokenizers_.student, prompt)});
    }
  }

  const Recipe& recipe_;
  const RunData& data_;
  const RunTokenizers& tokenizers_;
  const RunModels& models_;
  Heard heard_;
  const RunOptions& options_;
  Task task_;
  bool hybrid_;
  TaskResult teacher_;
  std::map<Arm, TaskResult> results_;
  RunReport report_;
};

}  // namespace

RunReport measure_run(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
                      const RunModels& models, Heard heard, const RunOptions& options) {
  RunReport report = Measurement(recipe, data, tokenizers, models, heard, options).run();
  report.command = options.command;
  // On-policy where that came out ahead.
  const auto own = std::find_if(report.arms.begin(), report.arms.end(), [](const ModelReport& arm) {
    return arm.name == name_of(Arm::kOnPolicy);
  });
  const bool ahead =
      own != report.arms.end() &&
      (report.metric_lower_is_better ? own->score->value < report.student.score->value
                                     : own->score->value > report.student.score->value);
  const std::string best =
      fmt::format("{}/{}", options.destination, name_of(ahead ? Arm::kOnPolicy : Arm::kStudent));
  report.try_command =
      fmt::format("{} generate {} --prompt {}", options.program, best, example_prompt(data));
  if (models.student().card.provenance.contains("start")) {
    report.notes.push_back("the student started from " +
                           models.student().card.provenance.value("start", ""));
  }
  if (recipe.has_endpoint()) {
    report.notes.push_back(
        fmt::format("the teacher is {} at {}", teacher_name(recipe), recipe.endpoint.url));
  } else if (recipe.teacher_rows > 0) {
    report.notes.push_back(fmt::format(
        "the teacher was trained from scratch by this run, on {} rows of its own that neither the "
        "student nor the control sees: it stands for a large model that knows the job; name a "
        "real one with --set teacher.rows=0 --set teacher.model=DIRECTORY",
        recipe.teacher_rows));
  } else if (recipe.teacher.model.empty()) {
    report.notes.emplace_back(
        "the teacher was trained from scratch by this run, on the same training rows, and knows no "
        "more than they say; name a real one with --set teacher.model=DIRECTORY");
  }
  if (recipe.data.source == "support-mail") {
    report.notes.emplace_back(
        "the data are made up by a seeded generator; test mails never occur in training");
  }
  return report;
}

}  // namespace alambic
