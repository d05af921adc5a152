// A recipe: everything a run depends on, as TOML. Every key has a default; an unknown key, a wrong
// type or an impossible value is refused with the key's name before any work begins. The resolved
// recipe (every key written out) is stored with the run and reproduces it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alambic/data/puzzles.h"
#include "alambic/data/signal.h"
#include "alambic/distill/hybrid_objective.h"
#include "alambic/distill/masked_objective.h"
#include "alambic/models/model_config.h"
#include "alambic/train/trainer.h"

namespace alambic {

struct DataRecipe {
  // "files"; built in: "support-mail", and the puzzles "sudoku", "countdown", "multiplication"
  std::string source = "support-mail";
  PuzzleOptions puzzle;  // keys givens_min, givens_max, numbers, digits
  // In place: what stands for a blank in prompts that a bidirectional student fills in; the prompt
  // template is not used then. A causal one writes the whole answer behind the prompt all the same.
  std::string blank;
  std::string format = "auto";      // of files: as DataSource
  std::string encoding = "utf-8";   // of files: latin-1, windows-1252, utf-16 and so on
  std::string train, train_target;  // paths, several with commas between; a target only for
                                    // parallel text
  std::string test, test_target;    // empty: held out from train
  std::string prompt_field, completion_field;
  std::string prompts;  // extra prompts without answers, for the teacher to answer (jsonl)
  int limit = 0;        // training examples at most; 0: all
  int unlabelled = 0;  // of built-in sources: so many more prompts without answers, for the teacher
  int validation = 200, test_limit = 500;
  std::string prompt_template = "{prompt}<|answer|>";
  // Around a conversation, and a prompt as what its user says: "" that of the model that is asked
  // (the teacher, or what the student starts from), where it has one and the recipe sets no
  // prompt_template, which would win; "model" the same, refused where there is none; a built-in one
  // by name; "none".
  std::string chat_template;
  int max_tokens = 512;  // longer examples are left out
  uint64_t seed = 1;     // of the split
};

struct ModelRecipe {
  std::string model;  // a directory to start from; empty: made by this run
  // Of a student: random; teacher: the weights that fit its shape; adapt: its model's, made a
  // hybrid one.
  std::string init = "random";
  // Of a student: a directory or file, or "train" on the run's data; empty: that of its model, else
  // the teacher's. Of a teacher behind an endpoint: the one its words are cut with, empty: the
  // student's.
  std::string tokenizer;
  int dim = 128, layers = 4, heads = 4, kv_heads = 4, ffn = 384;
};

// A teacher behind an OpenAI-compatible endpoint, in the keys of [teacher]; teacher.model is then
// the name it is served under. endpoint_protocol.h says what each key does.
struct EndpointRecipe {
  std::string url;  // "endpoint"; empty: the teacher is a directory, or made by this run
  std::string api = "auto";
  std::string api_key_env;  // the environment variable that holds the key
  // What a teacher is told beside the question, one on this machine as well; "{labels}" in them
  // stands for the labels of the data (asking.h).
  std::string system, prompt_template = "{prompt}";
  std::string reasoning = "drop";  // or keep: whole <think> blocks; of a teacher here as well
  int concurrency = 8;
  double requests_per_minute = 0, timeout = 120;
  uint64_t max_total_tokens = 0;
  double max_cost = 0, price_per_million_in = 0, price_per_million_out = 0;
};

// Adapters instead of all weights, for a student that starts from a model.
struct LoraRecipe {
  int rank = 0;  // 0: all weights learn
  double alpha = 32;
  std::vector<std::string> parts = {"query", "key", "value", "output", "gate", "up", "down"};
};

struct TrainRecipe {
  int steps = 0;                                // 0: from epochs
  double epochs = 10;                           // how often every document is read: sampler.h
  int tokens_per_step = 512, accumulation = 1;  // trainer.h
  double lr = 2e-3;
  std::string schedule = "linear";
  double warmup = 0.04;  // fraction of the steps
  double lr_floor = 0, cooldown = 0.5;
  double weight_decay = 0.1, beta1 = 0.9;
  double beta2 = 0;  // 0: half-life of 5 % of the run, at most 7M tokens
  double clip = 1, dropout = 0;
  std::string precision = "bf16";
  double checkpoint_seconds = 60;
  // How often the validation set is scored on the way. The weights that scored best are kept: few
  // rows are not punished by many steps. 0: the last weights are kept.
  int validations = 10;
};

// The last part of a student's training, on texts that it wrote itself: own_texts.h.
struct PolishRecipe {
  int steps = 0;      // 0: none
  int prompts = 500;  // of the training data, for the student to answer
  int max_new_tokens = 128;
  double text_temperature = 0;  // 0: greedy
  double gold_share = 0.5;      // of the texts, those it is trained on before
  double lr = 5e-4;
  Divergence divergence = Divergence::kTotalVariation;  // of drafts from the causal half
  double certainty = 0;  // weight of certainty beside the cross-entropy of masks
  double hold = 1;       // weight of the causal half's cross-entropy on what it wrote
};

// The last steps of a student, on texts that it writes itself and its teacher marks: on_policy.h.
// In the keys of [objective], as "on_policy", "on_policy_texts" and so on.
struct OnPolicyRecipe {
  double share = 0;             // of the steps; 0: none
  int texts = 64;               // that the student writes at once
  double uses = 2;              // how often each of them is read, about
  double text_temperature = 1;  // "on_policy_temperature": of what the student writes; 0: greedy
};

struct SignalRecipe {
  // text, draws, topk, or memory: the teacher runs beside the student, nothing is stored. auto:
  // text where the teacher answers prompts, else the most that it can give: draws of one with the
  // student's tokens, texts of any other.
  std::string kind = "auto";
  int count = 12;  // draws, or k
  double temperature = 1;
  // Whose answers are learned of the rows that have one: gold, the owner's; teacher, what the
  // teacher writes; both. Prompts without answers are always the teacher's to answer. auto: gold,
  // or both where nothing else would be heard of the teacher.
  std::string texts = "auto";
  int samples = 1;              // teacher texts per prompt
  double text_temperature = 0;  // 0: greedy
  int max_new_tokens = 512;
  std::string cut = "drop";  // answers of a teacher that ran into a limit; or keep
  std::string align;         // "bytes": where the student's tokenizer is not the teacher's
};

struct EvalRecipe {
  std::vector<std::string> decode = {"ar", "lookup", "speculative", "diffusion"};
  double threshold = 0.9;  // of the diffusion decoder
  int block = 8;           // drafts and diffusion blocks
  int max_new_tokens = 160;
  int speed_prompts =
      40;           // prompts that the speed of each decode mode is measured on, one at a time
  int samples = 6;  // shown in the report
  int dial_prompts = 40;  // validation examples that --quality is measured on; 0: it is not
};

// What is known of where teacher and data come from, and what the student is for. A check that
// stands in the way is passed over by naming it.
struct ProvenanceRecipe {
  std::string use;              // "commercial" or "research"; empty: not said
  std::string teacher_licence;  // as its owner names it: "apache-2.0", "cc-by-nc-4.0" ...
  std::string teacher_terms;    // of what it writes: "training-allowed" or "training-forbidden"
  std::string teacher_revision;
  std::string data_licence;
  std::vector<std::string> override;  // of "teacher-terms", "teacher-licence", "data-licence"
};

struct Recipe {
  std::string name = "run";
  std::string task = "exact";  // bleu, accuracy, exact, slots, rouge, perplexity, solved
  uint64_t seed = 1;
  DataRecipe data;
  int vocabulary = 1024;  // pieces to train; unused where the teacher brings a tokenizer
  // Of a teacher that this run makes from a built-in source: it learns from so many rows of its own
  // that nobody else sees, and so knows more than the data say; 0: from the run's training rows.
  int teacher_rows = 0;  // "teacher.rows"
  ModelRecipe teacher, student{.layers = 2, .ffn = 192};
  LoraRecipe lora;
  EndpointRecipe endpoint;
  TrainRecipe teacher_train, student_train;
  SignalRecipe signals;
  HybridOptions objective{.alpha = kAutoAlpha};  // auto: 0.5 where there are probabilities
  OnPolicyRecipe on_policy;
  PolishRecipe polish;
  MaskedOptions masked;  // of a bidirectional student, among the keys of [objective]
  // Of a student made by this run: "causal", or "all": every row sees every row, and it learns by
  // masked diffusion (LLaDA). Its positions: "rotary" or "learned" (GPT-2's shape where causal).
  std::string attention = "causal", positions = "rotary";
  EvalRecipe eval;
  ProvenanceRecipe provenance;

  bool has_endpoint() const { return !endpoint.url.empty(); }
  bool adapts() const { return student.init == "adapt"; }
};

// Who names data.train reads files. A student that starts from a model takes smaller steps, and
// fewer. Where a model is adapted they keep its causal half what it was:
// it learns from its own frozen copy, and prompts stand as they are. `settings` are "key=value"
// with dotted keys ("student.dim=96"); they override the file. `path` empty: defaults alone.
Recipe read_recipe(const std::string& path, const std::vector<std::string>& settings);
Recipe parse_recipe(std::string_view toml, std::string_view where,
                    const std::vector<std::string>& settings);
// Every key with its value: parse_recipe() of it gives the same recipe.
std::string recipe_to_toml(const Recipe& recipe);
// The same, but for what may change when a run goes on: how fast and for how much an endpoint is
// asked, and what is only measured: [eval], data.test, data.test_target and data.test_limit. Test
// rows may be taken out of the training rows: whoever goes on with a run compares those.
std::string recipe_substance(const Recipe& recipe);

// Whether the student is a masked diffusion model: made as one, or so in its directory.
bool is_bidirectional(const Recipe& recipe);

// Sizes of a model for `vocabulary` tokens, validated.
ModelConfig model_config(const ModelRecipe& recipe, int vocabulary, int max_positions,
                         std::string_view where);
// Positions of a model made by a run, which can so read more than its longest training row: the
// power of two from twice as many on, at least 2048. Rotary positions cost nothing.
int rotary_positions(int max_tokens);
// Of the student, with its attention and its positions. Learned ones are as many as
// data.max_tokens: no row teaches those behind.
ModelConfig student_config(const Recipe& recipe, int vocabulary);
Precision train_precision(const TrainRecipe& recipe);
// How to train on `data`: for as many steps as the recipe says, or else until every document was
// read `epochs` times; where `budget` is given, for that.
TrainOptions train_options(const TrainRecipe& recipe, std::span<const Sequence> data, uint64_t seed,
                           const std::optional<Budget>& budget = std::nullopt);

}  // namespace alambic
