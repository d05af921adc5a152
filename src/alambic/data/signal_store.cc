#include "alambic/data/signal_store.h"

#include <zlib.h>

#include <fstream>
#include <optional>
#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/file.h"
#include "alambic/data/signal_codec.h"
#include "alambic/data/sqlite.h"

namespace alambic {
namespace {

// Marks the file as ours for `file` and for us: "ALAM" as a big-endian integer.
constexpr int64_t kApplicationId = 0x414c414d;
constexpr const char* kHeaderTable = "CREATE TABLE header(json TEXT NOT NULL)";
constexpr const char* kRowsTable =
    "CREATE TABLE rows(example INTEGER NOT NULL, sample INTEGER NOT NULL, prompt TEXT NOT NULL, "
    "text TEXT NOT NULL, tokens BLOB NOT NULL, prompt_tokens INTEGER NOT NULL, "
    "signals BLOB NOT NULL, scored INTEGER NOT NULL, time INTEGER NOT NULL, crc INTEGER NOT NULL, "
    "PRIMARY KEY(example, sample))";
// One row, in stores whose teacher has a price.
constexpr const char* kSpentTable =
    "CREATE TABLE spent(requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, "
    "completion_tokens INTEGER NOT NULL, money REAL NOT NULL)";
// Questions whose answers are of no use, in stores that have some.
constexpr const char* kUnansweredTable =
    "CREATE TABLE unanswered(example INTEGER NOT NULL, sample INTEGER NOT NULL, "
    "prompt TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY(example, sample)) WITHOUT ROWID";
constexpr const char* kColumns =
    "example, sample, prompt, text, tokens, prompt_tokens, signals, scored, time, crc";

// A row as it lies in the file; views into the row or into SQLite's buffers.
struct StoredRow {
  int64_t example, sample, prompt_tokens, scored, time;
  std::string_view prompt, text, tokens, signals;

  // Lengths are part of the sum, so that bytes cannot move from one field to the next.
  int64_t checksum() const {
    uLong crc = crc32(0, nullptr, 0);
    const auto add = [&crc](const void* data, size_t size) {
      // zlib takes a null pointer, which an empty view may hold, for a request to start over.
      if (size > 0) crc = crc32_z(crc, static_cast<const Bytef*>(data), size);
    };
    for (const int64_t number : {example, sample, prompt_tokens, scored, time}) {
      add(&number, sizeof number);
    }
    for (const std::string_view field : {prompt, text, tokens, signals}) {
      const uint64_t size = field.size();
      add(&size, sizeof size);
      add(field.data(), field.size());
    }
    return static_cast<int64_t>(crc);
  }
};

// The rows table is exactly ours, and nothing else (views, triggers) stands beside it to run forged
// SQL.
void check_schema(const Database& database) {
  Statement statement = database.prepare(
      "SELECT COUNT(*), TOTAL(type = 'table' AND name = 'header' AND sql = ?1), "
      "TOTAL(type = 'table' AND name = 'rows' AND sql = ?2), "
      "TOTAL(type = 'index' AND name = 'sqlite_autoindex_rows_1'), "
      "TOTAL(type = 'table' AND name = 'spent' AND sql = ?3), "
      "TOTAL(type = 'table' AND name = 'unanswered' AND sql = ?4), "
      "TOTAL(type = 'index' AND name = 'sqlite_autoindex_unanswered_1') FROM sqlite_schema");
  statement.bind_text(1, kHeaderTable).bind_text(2, kRowsTable).bind_text(3, kSpentTable);
  statement.bind_text(4, kUnansweredTable);
  const bool ours = database.query_integer("PRAGMA application_id") == kApplicationId &&
                    statement.step() && statement.real(1) == 1 && statement.real(2) == 1 &&
                    statement.real(3) == 1 &&
                    static_cast<double>(statement.integer(0)) ==
                        3 + statement.real(4) + statement.real(5) + statement.real(6);
  if (!ours) {
    fail(ErrorCode::kCorruptData, "[{}] is a SQLite file, but no signal store of alambic",
         database.path());
  }
}

bool holds_nothing(const Database& database) {
  return database.query_integer("SELECT COUNT(*) FROM sqlite_schema") == 0 &&
         database.query_integer("PRAGMA application_id") == 0;
}

SignalHeader load_header(const Database& database) {
  if (holds_nothing(database)) {
    fail(ErrorCode::kNotFound,
         "[{}] holds nothing yet: what was to write it stopped before; start that again",
         database.path());
  }
  check_schema(database);
  Statement statement = database.prepare("SELECT json FROM header");
  if (!statement.step()) {
    fail(ErrorCode::kCorruptData, "[{}] has no header", database.path());
  }
  return signal_header_from_json(parse_json(statement.text(0), database.path()), database.path());
}

void create_tables(Database& database, const SignalHeader& header) {
  database.execute(kHeaderTable);
  database.execute(kRowsTable);
  const std::string json = dump_json(signal_header_to_json(header));
  Statement statement = database.prepare("INSERT INTO header VALUES(?1)");
  statement.bind_text(1, json).step();
  database.execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
}

// Runs one write transaction: commits if `body` returns, undoes everything if it throws.
template <class Body>
void transaction(Database& database, const Body& body) {
  database.execute("BEGIN IMMEDIATE");
  try {
    body();
    database.execute("COMMIT");
  } catch (...) {
    // SQLite undoes the transaction itself after some errors, such as a full disk.
    if (database.in_transaction()) database.execute("ROLLBACK");
    throw;
  }
}

}  // namespace

class SignalStore::Impl {
 public:
  Impl(const std::string& path, const SignalHeader& wanted)
      : database_(path, Database::Mode::kCreate), writable_(true) {
    validate_signal_header(wanted, path);
    if (!holds_nothing(database_)) check_schema(database_);  // before anything is written to it
    database_.execute("PRAGMA journal_mode = WAL");
    database_.execute("PRAGMA synchronous = FULL");
    transaction(database_, [&] {
      if (holds_nothing(database_)) create_tables(database_, wanted);
    });
    load();
    const std::string difference = first_difference(header_, wanted);
    if (!difference.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] holds signals of another run: {}; name another file or remove this one", path,
           difference);
    }
    insert_.emplace(database_.prepare("INSERT INTO rows VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)"));
  }

  explicit Impl(const std::string& path)
      : database_(path, Database::Mode::kReadOnly), writable_(false) {
    load();
  }

  // A closed store is one plain file that can be copied, and read where nothing can be written.
  ~Impl() {
    if (!writable_) return;
    find_.reset();
    read_.reset();
    insert_.reset();
    database_.leave_write_ahead_mode();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const SignalHeader& header() const { return header_; }
  int64_t size() const { return size_; }
  const std::string& path() const { return database_.path(); }

  bool contains(int64_t example, int sample) {
    find_->reset();
    find_->bind(1, example).bind(2, sample);
    const bool found = find_->step();
    find_->reset();
    return found;
  }

  std::optional<AnswerKind> outcome(int64_t example, int sample) {
    if (contains(example, sample)) return AnswerKind::kGood;
    if (!has_table("unanswered")) return std::nullopt;
    Statement statement =
        database_.prepare("SELECT kind FROM unanswered WHERE example = ?1 AND sample = ?2");
    statement.bind(1, example).bind(2, sample);
    if (!statement.step()) return std::nullopt;
    return answer_kind_from_name(statement.text(0), path());
  }

  void for_each_unanswered(const std::function<void(const VainQuestion&)>& visit) const {
    if (!has_table("unanswered")) return;
    Statement statement = database_.prepare(
        "SELECT example, sample, prompt, kind FROM unanswered ORDER BY example, sample");
    while (statement.step()) {
      visit({statement.integer(0), static_cast<int>(statement.integer(1)),
             std::string(statement.text(2)), answer_kind_from_name(statement.text(3), path())});
    }
  }

  void append(std::span<const SignalRow> rows, std::span<const VainQuestion> unanswered,
              const Spending* spent) {
    require_writable();
    if (rows.empty() && unanswered.empty() && spent == nullptr) return;
    transaction(database_, [&] {
      for (const SignalRow& row : rows) insert(row);
      if (!unanswered.empty()) put_unanswered(unanswered);
      if (spent != nullptr) put_spent(*spent);
    });
    size_ += static_cast<int64_t>(rows.size());
  }

  Spending spent() const {
    if (!has_table("spent")) return {};
    Statement statement = database_.prepare(
        "SELECT requests, prompt_tokens, completion_tokens, money FROM spent LIMIT 1");
    if (!statement.step()) return {};
    return {statement.integer(0), statement.integer(1), statement.integer(2), statement.real(3)};
  }

  void set_revision(const std::string& revision) {
    require_writable();
    if (revision.empty() || !header_.revision.empty()) return;
    header_.revision = revision;
    const std::string json = dump_json(signal_header_to_json(header_));
    transaction(database_, [&] {
      Statement statement = database_.prepare("UPDATE header SET json = ?1");
      statement.bind_text(1, json).step();
    });
  }

  SignalRow read(int64_t example, int sample) {
    read_->reset();
    read_->bind(1, example).bind(2, sample);
    if (!read_->step()) {
      fail(ErrorCode::kNotFound, "[{}] holds no sample {} of example {}", path(), sample, example);
    }
    SignalRow row = decode(*read_);
    read_->reset();
    return row;
  }

  void for_each(const std::function<void(const SignalRow&)>& visit) {
    Statement statement = database_.prepare(
        fmt::format("SELECT {} FROM rows ORDER BY example, sample", kColumns).c_str());
    while (statement.step()) visit(decode(statement));
  }

  double bytes_per_token() {
    Statement statement =
        database_.prepare("SELECT TOTAL(LENGTH(signals)), TOTAL(scored) FROM rows");
    if (!statement.step() || !(statement.real(1) > 0)) return 0;
    return statement.real(0) / statement.real(1);
  }

 private:
  void load() {
    header_ = load_header(database_);
    size_ = database_.query_integer("SELECT COUNT(*) FROM rows");
    find_.emplace(database_.prepare("SELECT 1 FROM rows WHERE example = ?1 AND sample = ?2"));
    read_.emplace(database_.prepare(
        fmt::format("SELECT {} FROM rows WHERE example = ?1 AND sample = ?2", kColumns).c_str()));
  }

  void require_writable() const {
    if (!writable_) fail(ErrorCode::kInvalidArgument, "[{}] is open for reading only", path());
  }

  bool has_table(std::string_view table) const {
    Statement statement = database_.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1");
    statement.bind_text(1, table);
    return statement.step();
  }

  void put_unanswered(std::span<const VainQuestion> unanswered) {
    if (!has_table("unanswered")) database_.execute(kUnansweredTable);
    Statement statement =
        database_.prepare("INSERT OR REPLACE INTO unanswered VALUES(?1,?2,?3,?4)");
    for (const VainQuestion& one : unanswered) {
      statement.reset();
      statement.bind(1, one.example).bind(2, one.sample).bind_text(3, one.prompt);
      statement.bind_text(4, answer_kind_name(one.kind)).step();
    }
  }

  void put_spent(const Spending& spent) {
    if (!has_table("spent")) database_.execute(kSpentTable);
    database_.execute("DELETE FROM spent");
    Statement statement = database_.prepare("INSERT INTO spent VALUES(?1,?2,?3,?4)");
    statement.bind(1, spent.requests).bind(2, spent.prompt_tokens).bind(3, spent.completion_tokens);
    statement.bind_real(4, spent.money).step();
  }

  std::string name(int64_t example, int64_t sample) const {
    return fmt::format("{}: example {}, sample {}", path(), example, sample);
  }

  // `answer` is the number of tokens after the prompt.
  static bool counts_fit(int64_t prompt_tokens, size_t tokens, size_t signals) {
    if (prompt_tokens < 0 || prompt_tokens > static_cast<int64_t>(tokens)) return false;
    return signals == 0 || signals == tokens - static_cast<size_t>(prompt_tokens);
  }

  void insert(const SignalRow& row) {
    const std::string where = name(row.example, row.sample);
    if (row.example < 0 || row.sample < 0) {
      fail(ErrorCode::kInvalidArgument, "[{}] numbers must not be negative", where);
    }
    if (!counts_fit(row.prompt_tokens, row.tokens.size(), row.signals.size())) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] {} tokens, {} of them prompt, and {} signals do not fit", where, row.tokens.size(),
           row.prompt_tokens, row.signals.size());
    }
    const std::string tokens = encode_tokens(row.tokens, header_);
    const std::string signals = encode_signals(row.signals, header_);
    const StoredRow stored{
        row.example, row.sample, row.prompt_tokens, static_cast<int64_t>(row.signals.size()),
        row.time,    row.prompt, row.text,          tokens,
        signals};
    insert_->reset();
    insert_->bind(1, stored.example).bind(2, stored.sample);
    insert_->bind_text(3, stored.prompt).bind_text(4, stored.text).bind_blob(5, stored.tokens);
    insert_->bind(6, stored.prompt_tokens).bind_blob(7, stored.signals);
    insert_->bind(8, stored.scored).bind(9, stored.time).bind(10, stored.checksum());
    insert_->step();
    const bool refused = insert_->constraint_failed();
    insert_->reset();
    if (refused) fail(ErrorCode::kInvalidArgument, "[{}] is already stored", where);
  }

  SignalRow decode(const Statement& statement) const {
    const StoredRow stored{statement.integer(0), statement.integer(1), statement.integer(5),
                           statement.integer(7), statement.integer(8), statement.text(2),
                           statement.text(3),    statement.blob(4),    statement.blob(6)};
    const std::string where = name(stored.example, stored.sample);
    if (stored.checksum() != statement.integer(9)) {
      fail(ErrorCode::kCorruptData, "[{}] is damaged: its checksum differs", where);
    }
    SignalRow row;
    row.example = stored.example;
    row.sample = static_cast<int>(stored.sample);
    row.prompt = stored.prompt;
    row.text = stored.text;
    row.tokens = decode_tokens(stored.tokens, header_, where);
    row.prompt_tokens = static_cast<int>(stored.prompt_tokens);
    row.signals = decode_signals(stored.signals, header_, where);
    row.time = stored.time;
    if (row.sample != stored.sample || row.prompt_tokens != stored.prompt_tokens ||
        stored.scored != static_cast<int64_t>(row.signals.size()) ||
        !counts_fit(stored.prompt_tokens, row.tokens.size(), row.signals.size())) {
      fail(ErrorCode::kCorruptData, "[{}] is damaged: its counts do not fit", where);
    }
    return row;
  }

  Database database_;  // first: statements must go before it
  bool writable_;
  SignalHeader header_;
  int64_t size_ = 0;
  std::optional<Statement> find_, read_, insert_;
};

SignalStore::SignalStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SignalStore::SignalStore(SignalStore&&) noexcept = default;
SignalStore& SignalStore::operator=(SignalStore&&) noexcept = default;
SignalStore::~SignalStore() = default;

SignalStore SignalStore::create_or_resume(const std::string& path, const SignalHeader& header) {
  return SignalStore(std::make_unique<Impl>(path, header));
}

SignalStore SignalStore::open(const std::string& path) {
  return SignalStore(std::make_unique<Impl>(path));
}

const SignalHeader& SignalStore::header() const { return impl_->header(); }
int64_t SignalStore::size() const { return impl_->size(); }
bool SignalStore::contains(int64_t example, int sample) const {
  return impl_->contains(example, sample);
}
void SignalStore::append(std::span<const SignalRow> rows) { impl_->append(rows, {}, nullptr); }
void SignalStore::append(std::span<const SignalRow> rows, const Spending& spent) {
  impl_->append(rows, {}, &spent);
}
void SignalStore::append(std::span<const SignalRow> rows, std::span<const VainQuestion> unanswered,
                         const Spending& spent) {
  impl_->append(rows, unanswered, &spent);
}
std::optional<AnswerKind> SignalStore::outcome(int64_t example, int sample) const {
  return impl_->outcome(example, sample);
}
void SignalStore::for_each_unanswered(const std::function<void(const VainQuestion&)>& visit) const {
  impl_->for_each_unanswered(visit);
}
Spending SignalStore::spent() const { return impl_->spent(); }
void SignalStore::set_revision(const std::string& revision) { impl_->set_revision(revision); }
SignalRow SignalStore::read(int64_t example, int sample) const {
  return impl_->read(example, sample);
}
void SignalStore::for_each(const std::function<void(const SignalRow&)>& visit) const {
  impl_->for_each(visit);
}
double SignalStore::bytes_per_token() const { return impl_->bytes_per_token(); }

void SignalStore::export_jsonl(const std::string& path) const {
  AtomicFile file(path);
  const auto write_line = [&file](const OrderedJson& json) {
    const std::string line = dump_json(json) + "\n";
    file.write(line.data(), line.size());
  };
  write_line(signal_header_to_json(header()));
  for_each([&](const SignalRow& row) { write_line(signal_row_to_json(row, header())); });
  file.commit();
}

SignalStore SignalStore::import_jsonl(const std::string& path, const std::string& store_path) {
  constexpr size_t kBatch = 256;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorCode::kNotFound, "[{}] cannot open", path);
  std::string line;
  if (!std::getline(file, line)) fail(ErrorCode::kCorruptData, "[{}] is empty", path);
  const std::string first = fmt::format("{}:1", path);
  const SignalHeader header = signal_header_from_json(parse_json(line, first), first);
  SignalStore store = create_or_resume(store_path, header);
  std::vector<SignalRow> batch;
  for (int64_t number = 2; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    SignalRow row = signal_row_from_json(parse_json(line, where), header, where);
    if (!store.contains(row.example, row.sample)) batch.push_back(std::move(row));
    if (batch.size() < kBatch) continue;
    store.append(batch);
    batch.clear();
  }
  if (file.bad()) fail(ErrorCode::kIo, "[{}] cannot read", path);
  store.append(batch);
  return store;
}

}  // namespace alambic
