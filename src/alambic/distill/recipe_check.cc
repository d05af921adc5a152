#include "alambic/distill/recipe_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "alambic/data/text_encoding.h"

namespace alambic {
namespace {

void one_of(std::string_view where, const char* key, const std::string& value,
            std::initializer_list<const char*> names) {
  if (std::find(names.begin(), names.end(), value) == names.end()) {
    std::string known;
    for (const std::string_view name : names)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", name.empty() ? "\"\"" : name);
    fail(ErrorCode::kInvalidArgument, "[{}] {} = \"{}\"; want one of {}", where, key, value, known);
  }
}

void check_endpoint(const Recipe& r, std::string_view where) {
  one_of(where, "teacher.api", r.endpoint.api, {"auto", "chat", "completions"});
  if (r.signals.kind != "auto" && r.signals.kind != "text" && r.signals.kind != "topk") {
    fail(ErrorCode::kInvalidArgument,
         "[{}] signals.kind = \"{}\"; an endpoint gives \"text\", or \"topk\" where it gives "
         "log-probabilities",
         where, r.signals.kind);
  }
  if (r.signals.kind == "text" && r.objective.alpha > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] objective.alpha = {} learns from probabilities; want signals.kind = \"topk\" from "
         "this endpoint, or alpha = 0 to learn from its texts",
         where, r.objective.alpha);
  }
  if (r.signals.kind == "topk" && r.signals.temperature != 1) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] signals.temperature = {}; the log-probabilities of an endpoint are of temperature 1",
         where, r.signals.temperature);
  }
  if (r.student.init == "teacher") {
    fail(ErrorCode::kInvalidArgument,
         "[{}] student.init = \"teacher\" wants weights; an endpoint gives none", where);
  }
}

// By the names that licences go by.
bool forbids_commerce(std::string licence) {
  std::transform(licence.begin(), licence.end(), licence.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* mark :
       {"-nc", "by-nc", "noncommercial", "non-commercial", "research-only", "research only"}) {
    if (licence.find(mark) != std::string::npos) return true;
  }
  return false;
}

void check_provenance(const ProvenanceRecipe& p, std::string_view where) {
  one_of(where, "provenance.use", p.use, {"", "commercial", "research"});
  one_of(where, "provenance.teacher_terms", p.teacher_terms,
         {"", "training-allowed", "training-forbidden"});
  for (const std::string& name : p.override)
    one_of(where, "provenance.override", name,
           {"teacher-terms", "teacher-licence", "data-licence"});
  const auto stop = [&](bool so, const char* name, const std::string& why) {
    if (!so || std::find(p.override.begin(), p.override.end(), name) != p.override.end()) return;
    fail(ErrorCode::kInvalidArgument,
         "[{}] {}; if you have the right all the same, say so: provenance.override = [\"{}\"]",
         where, why, name);
  };
  stop(p.teacher_terms == "training-forbidden", "teacher-terms",
       "the teacher's terms forbid training on what it writes");
  const bool sold = p.use == "commercial";
  stop(sold && forbids_commerce(p.teacher_licence), "teacher-licence",
       fmt::format("the teacher's licence ({}) forbids commercial use, which this recipe is for",
                   p.teacher_licence));
  stop(sold && forbids_commerce(p.data_licence), "data-licence",
       fmt::format("the data's licence ({}) forbids commercial use, which this recipe is for",
                   p.data_licence));
}

void check_polish(const Recipe& r, std::string_view where) {
  const PolishRecipe& p = r.polish;
  if (p.steps == 0) return;
  const auto want = [&](bool holds, const char* what) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "[{}] {}", where, what);
  };
  want(r.objective.draft_weight > 0,
       "polish.steps wants drafts to polish; set objective.draft_weight above 0");
  want(r.lora.rank == 0, "polish.steps wants weights that learn whole; set student.lora.rank = 0");
  want(p.prompts > 0 && p.max_new_tokens > 0 && p.lr > 0,
       "polish.prompts, polish.max_new_tokens and polish.lr must be above 0");
  want(p.gold_share < 1, "polish.gold_share must be below 1");
}

// Rows that a built-in source makes up beside the labelled ones.
void check_made_up_rows(const Recipe& r, std::string_view where) {
  const bool files = r.data.source == "files";
  if (files && r.data.unlabelled > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] data.unlabelled = {} is of data that alambic makes up; name a file of prompts with "
         "data.prompts",
         where, r.data.unlabelled);
  }
  if (files && r.teacher_rows > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] teacher.rows = {} is of data that alambic makes up; a teacher that knows more than "
         "your rows is named with teacher.model or teacher.endpoint",
         where, r.teacher_rows);
  }
  if (r.teacher_rows > 0 && (r.has_endpoint() || !r.teacher.model.empty())) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] teacher.rows = {} is of a teacher that this run makes; this recipe names one, so "
         "set teacher.rows = 0",
         where, r.teacher_rows);
  }
}

void check_on_policy(const Recipe& r, std::string_view where) {
  const OnPolicyRecipe& o = r.on_policy;
  const auto want = [&](bool holds, const std::string& what) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "[{}] objective.on_policy{}", where, what);
  };
  want(o.share >= 0 && o.share <= 1,
       fmt::format(" = {}; want a share of the steps, 0 to 1", o.share));
  want(r.objective.on_policy_divergence == Divergence::kReverseKl ||
           r.objective.on_policy_divergence == Divergence::kJsd,
       "_divergence: want reverse_kl or jsd");
  want(o.text_temperature == 0 || (o.text_temperature >= 0.001 && o.text_temperature <= 100),
       fmt::format("_temperature = {}; want 0 (greedy), or 0.001 to 100", o.text_temperature));
  constexpr int kMostTexts = 100000;
  want(o.texts >= 1 && o.texts <= kMostTexts,
       fmt::format("_texts = {}; want 1 to {}", o.texts, kMostTexts));
  want(o.uses > 0 && o.uses <= 1000, fmt::format("_uses = {}; want above 0, at most 1000", o.uses));
  if (o.share == 0) return;
  want(r.attention == "causal" && r.objective.ar_weight > 0,
       " is of students that write from left to right; want student.attention = \"causal\" and "
       "objective.ar_weight above 0, or on_policy = 0");
  want(!r.has_endpoint() || r.objective.temperature == 1,
       fmt::format(" learns the log-probabilities of an endpoint, which are of temperature 1; want "
                   "objective.temperature = 1, got {}",
                   r.objective.temperature));
}

void check_adaptation(const Recipe& r, std::string_view where) {
  if (!r.adapts()) return;
  const auto want = [&](bool holds, const char* what) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "[{}] student.init = \"adapt\" {}", where, what);
  };
  want(!r.student.model.empty(), "wants a model to adapt; set student.model");
  want(r.lora.rank == 0, "wants weights that learn whole; set student.lora.rank = 0");
  want(r.objective.draft_weight > 0 && r.objective.block > 1 && r.objective.ar_weight > 0,
       "makes a hybrid: objective.ar_weight and draft_weight must be above 0, block above 1");
}

void check_attention(const Recipe& r, std::string_view where) {
  one_of(where, "student.attention", r.attention, {"causal", "all"});
  one_of(where, "student.positions", r.positions, {"rotary", "learned"});
  if (!r.student.model.empty() && (r.attention != "causal" || r.positions != "rotary")) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] student.attention and student.positions are of a student made by this run; that of "
         "{} "
         "has its own",
         where, r.student.model);
  }
  if (r.attention == "causal") return;
  if (r.task == "perplexity") {
    fail(ErrorCode::kInvalidArgument,
         "[{}] task = \"perplexity\" is of students that write from left to right; this one is "
         "bidirectional",
         where);
  }
  if (r.objective.alpha > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] objective.alpha = {} learns a teacher's next-token probabilities, which a "
         "bidirectional student has no use for; want alpha = 0, and the teacher's texts "
         "(signals.kind = \"text\")",
         where, r.objective.alpha);
  }
}

}  // namespace

void check_recipe(const Recipe& r, std::string_view where) {
  one_of(where, "task", r.task,
         {"bleu", "accuracy", "exact", "slots", "rouge", "perplexity", "solved"});
  one_of(where, "data.source", r.data.source,
         {"support-mail", "files", "sudoku", "countdown", "multiplication"});
  one_of(where, "student.init", r.student.init, {"random", "teacher", "adapt"});
  one_of(where, "signals.kind", r.signals.kind, {"auto", "text", "draws", "topk", "memory"});
  one_of(where, "signals.texts", r.signals.texts, {"auto", "gold", "teacher", "both"});
  one_of(where, "signals.cut", r.signals.cut, {"drop", "keep"});
  one_of(where, "teacher.reasoning", r.endpoint.reasoning, {"drop", "keep"});
  one_of(where, "signals.align", r.signals.align, {"", "bytes"});
  for (const std::string& mode : r.eval.decode)
    one_of(where, "eval.decode", mode, {"ar", "lookup", "speculative", "diffusion"});
  if (r.lora.rank > 0 && r.student.model.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] student.lora.rank = {} wants a model to stand beside; set student.model", where,
         r.lora.rank);
  }
  for (const TrainRecipe* t : {&r.teacher_train, &r.student_train}) {
    one_of(where, "train.precision", t->precision, {"bf16", "fp32"});
    schedule_from_name(t->schedule);
    const auto positive = [&](const char* key, double value) {
      if (!(value > 0)) fail(ErrorCode::kInvalidArgument, "[{}] {} must be above 0", where, key);
    };
    positive("train.tokens_per_step", t->tokens_per_step);
    positive("train.accumulation", t->accumulation);
    positive("train.lr", t->lr);
    if (t->steps == 0) positive("train.epochs", t->epochs);
    if (t->dropout >= 1)
      fail(ErrorCode::kInvalidArgument, "[{}] train.dropout must be below 1", where);
    if (t->beta1 >= 1 || t->beta2 >= 1)
      fail(ErrorCode::kInvalidArgument, "[{}] train.beta1, beta2 must be below 1", where);
  }
  check_encoding(r.data.encoding, fmt::format("{}: data", where));
  const bool files = r.data.source == "files";
  if (files && r.data.train.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] data.train names no file; set it, or --set data.train=PATH", where);
  }
  if (!files && !r.data.train.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] data.train = \"{}\" is not read where data.source = \"{}\"; leave one of them out",
         where, r.data.train, r.data.source);
  }
  if (!files && !r.data.test.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] data.test = \"{}\" wants training rows of your own, too: set data.train", where,
         r.data.test);
  }
  if (r.data.prompt_template.find("{prompt}") == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "[{}] data.prompt_template must contain {{prompt}}", where);
  }
  if (r.endpoint.prompt_template.find("{prompt}") == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "[{}] teacher.prompt_template must contain {{prompt}}",
         where);
  }
  if (r.vocabulary < 300)
    fail(ErrorCode::kInvalidArgument, "[{}] vocabulary = {}; want 300 or more", where,
         r.vocabulary);
  if (r.signals.kind == "draws" && r.objective.divergence != Divergence::kForwardKl &&
      r.objective.alpha > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] unbiased draws support forward_kl alone; use signals.kind = \"topk\" or \"memory\" "
         "with this divergence",
         where);
  }
  if (r.objective.alpha > 0 && r.signals.kind != "memory" && r.signals.kind != "text" &&
      std::abs(r.objective.temperature - r.signals.temperature) > 1e-9) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] signals.temperature = {} but objective.temperature = {}: stored probabilities are "
         "of one temperature",
         where, r.signals.temperature, r.objective.temperature);
  }
  if (r.has_endpoint()) check_endpoint(r, where);
  if (r.signals.kind == "text" && r.objective.alpha > 0) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] objective.alpha = {} learns from probabilities, and signals.kind = \"text\" has "
         "none; set alpha = 0, or another kind",
         where, r.objective.alpha);
  }
  check_made_up_rows(r, where);
  check_polish(r, where);
  check_on_policy(r, where);
  check_adaptation(r, where);
  check_provenance(r.provenance, where);
  HybridOptions objective = r.objective;
  if (objective.alpha == kAutoAlpha) objective.alpha = 0;
  const HybridObjective valid(objective);  // its constructor checks the weights
  const MaskedObjective also_valid(r.masked);
  check_attention(r, where);
}

}  // namespace alambic
