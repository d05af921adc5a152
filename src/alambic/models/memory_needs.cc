#include "alambic/models/memory_needs.h"

#include <algorithm>
#include <cmath>

#include "alambic/autograd/ops_head.h"
#include "alambic/nn/kv_cache.h"

namespace alambic {
namespace {

constexpr int64_t kProcess = int64_t{10} << 20;       // code and libraries
constexpr int64_t kTrainingHeap = int64_t{16} << 20;  // batches, graph, threads' buffers
constexpr int64_t kCacheSlack = int64_t{128}
                                << 20;  // storage.cc: freed blocks kept beyond the peak

struct Widths {
  explicit Widths(const ModelConfig& c)
      : dim(c.dim),
        query(int64_t{c.heads} * c.head_dim),
        key(int64_t{c.kv_heads} * c.head_dim),
        qkv(query + 2 * key),
        ffn(c.ffn),
        before(c.gated_mlp ? 2 * ffn : ffn),
        table(int64_t{c.vocab_size} * c.dim) {}
  int64_t dim, query, key, qkv, ffn;
  int64_t before;  // an MLP's numbers in front of the activation
  int64_t table;
  // Of all matrices that rows are multiplied by.
  int64_t multiplied(const ModelConfig& c) const {
    return c.parameters() - (c.tied_head ? 0 : table);
  }
};

int64_t panel_bytes(Precision precision) { return precision == Precision::kBf16 ? 2 : 4; }

// What a mapped table costs: the windows of the file that lookups bring in. Words of a prompt are
// taken as random; half of what is generated repeats itself.
int64_t touched_bytes(int64_t table_bytes, int64_t prompt_tokens, int64_t generated_tokens) {
  constexpr double kWindow = 65536;  // what the kernel maps around a page that is asked for
  const double windows = static_cast<double>(table_bytes) / kWindow;
  const double lookups =
      static_cast<double>(prompt_tokens) + static_cast<double>(generated_tokens) / 2;
  return static_cast<int64_t>(kWindow * windows * (1 - std::exp(-lookups / windows)));
}

int64_t weight_bytes(const ModelConfig& c, const StoredWeights& stored, Precision precision,
                     const DecodingLoad& load) {
  const Widths w(c);
  const int64_t multiplied = w.multiplied(c);
  if (stored.format) {
    // Values, and per group a scale in bf16 and, for int4, a zero point.
    const double bits = stored.format == WeightFormat::kInt8 ? 8.25 : 4.75;
    return static_cast<int64_t>(static_cast<double>(multiplied) * bits / 8) +
           touched_bytes(2 * w.table, int64_t{load.prompt} * load.streams,
                         int64_t{load.generated} * load.streams);
  }
  return w.table * stored.bytes + multiplied * panel_bytes(precision);
}

// While weights in floating point are read: the table comes first, and exists in fp32 while its
// panels are made.
int64_t loading_bytes(const ModelConfig& c, const StoredWeights& stored, Precision precision) {
  if (stored.format) return 0;
  const int64_t table = Widths(c).table;
  return table * stored.bytes + (c.tied_head ? table * panel_bytes(precision) : 0) +
         (stored.bytes == 2 ? 4 * table : 0);
}

}  // namespace

MemoryNeeds decoding_needs(const ModelConfig& c, const StoredWeights& stored, Precision precision,
                           const DecodingLoad& load) {
  const Widths w(c);
  MemoryNeeds needs;
  needs.process = kProcess;
  needs.weights = weight_bytes(c, stored, precision, load);
  const int length = load.prompt + load.generated;
  const int64_t rows = std::min<int64_t>(load.rows_at_once, int64_t{load.prompt} * load.streams);
  needs.kv_cache =
      int64_t{load.streams} * c.layers * 2 * w.key *
      KvCache::capacity_after(std::min(load.prompt, load.rows_at_once), length, length) *
      panel_bytes(precision);
  // Hidden rows three times, packed ones, queries with keys and values, key columns, attention's
  // result, gate and up, their product packed; logits, and a sampler's row and weights, which
  // greedy text does without.
  needs.activations = 4 * rows * (4 * w.dim + w.qkv + w.key + w.query + w.before + w.ffn) +
                      int64_t{load.streams} * 4 * 3 * c.vocab_size;
  // The highest point may come before the first token.
  needs.weights = std::max(
      needs.weights, loading_bytes(c, stored, precision) - needs.kv_cache - needs.activations);
  return needs;
}

MemoryNeeds training_needs(const ModelConfig& c, Precision precision, int64_t rows) {
  const Widths w(c);
  const int64_t gate_up = precision == Precision::kBf16 ? 2 : 4;
  MemoryNeeds needs;
  needs.process = kProcess + kTrainingHeap;
  needs.weights = 4 * c.parameters();
  needs.optimizer = 8 * c.parameters();
  needs.gradients = 4 * c.parameters();
  // Per layer: the inputs of both norms, queries with keys and values, attention's result and row
  // statistics, gate and up.
  const int64_t kept =
      rows * c.layers * (4 * (2 * w.dim + w.qkv + w.query + 2 * c.heads) + w.before * gate_up);
  const int64_t chunk = head_chunk_rows(rows, c.vocab_size);
  // Panels both ways, a chunk of logits, and its transpose packed.
  const int64_t head =
      2 * w.table * panel_bytes(precision) + 2 * 4 * chunk * c.vocab_size + 3 * 4 * rows * w.dim;
  // A layer's own buffers in the backward pass.
  const int64_t layer = 4 * rows * (w.before + w.ffn + w.qkv + 4 * w.dim);
  // Gradients come as activations go: the highest point is either at the head, with what the cache
  // of freed blocks may keep beyond it, or where everything has existed once.
  const int64_t at_head = kept + head + 4 * w.table + kCacheSlack;
  const int64_t everything = needs.gradients + kept + head + layer;
  needs.activations = std::max<int64_t>(0, std::min(at_head, everything) - needs.gradients);
  return needs;
}

}  // namespace alambic
