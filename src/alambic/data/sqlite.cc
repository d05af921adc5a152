#include "alambic/data/sqlite.h"

#include <utility>

#include "alambic/base/error.h"
#include "alambic/base/file.h"

namespace alambic {
namespace {

constexpr int kBusyMilliseconds = 10'000;
constexpr int kMaxValue =
    256 << 20;  // bytes of one text or blob: a forged length buys no more memory

}  // namespace

void fail_sqlite(sqlite3* connection, const std::string& path) {
  const int code = sqlite3_errcode(connection) & 0xff;
  const char* message = sqlite3_errmsg(connection);
  switch (code) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
      fail(ErrorCode::kCorruptData, "[{}] damaged or not a SQLite file: {}", path, message);
    case SQLITE_FULL:
      fail(ErrorCode::kIo, "[{}] no room left to write; what was stored stays stored", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      fail(ErrorCode::kIo, "[{}] another process is writing to it", path);
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
      fail(ErrorCode::kResourceExhausted, "[{}] a value is too large: {}", path, message);
    default:
      fail(ErrorCode::kIo, "[{}] cannot read or write: {}", path, message);
  }
}

Statement::Statement(sqlite3* connection, const std::string& path, const char* sql)
    : connection_(connection), path_(path) {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v2(connection, sql, -1, &statement, nullptr));
  statement_.reset(statement);
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) fail_sqlite(connection_, path_);
}

Statement& Statement::bind(int index, int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), index, value));
  return *this;
}

Statement& Statement::bind_real(int index, double value) {
  check(sqlite3_bind_double(statement_.get(), index, value));
  return *this;
}

Statement& Statement::bind_text(int index, std::string_view value) {
  // A null pointer would bind NULL instead of an empty text.
  const char* data = value.empty() ? "" : value.data();
  check(
      sqlite3_bind_text64(statement_.get(), index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view value) {
  const char* data = value.empty() ? "" : value.data();
  check(sqlite3_bind_blob64(statement_.get(), index, data, value.size(), SQLITE_STATIC));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  constraint_failed_ = (code & 0xff) == SQLITE_CONSTRAINT;
  if (constraint_failed_) return false;
  fail_sqlite(connection_, path_);
}

void Statement::reset() {
  // Returns the failure of the last step again, which step() has already reported.
  sqlite3_reset(statement_.get());
  constraint_failed_ = false;
}

int64_t Statement::integer(int column) const {
  if (sqlite3_column_type(statement_.get(), column) != SQLITE_INTEGER) {
    fail(ErrorCode::kCorruptData, "[{}] column {} is no integer", path_,
         sqlite3_column_name(statement_.get(), column));
  }
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string_view Statement::bytes(int column, int type) const {
  sqlite3_stmt* statement = statement_.get();
  if (sqlite3_column_type(statement, column) != type) {
    fail(ErrorCode::kCorruptData, "[{}] column {} has the wrong type", path_,
         sqlite3_column_name(statement, column));
  }
  const void* data = type == SQLITE_TEXT
                         ? static_cast<const void*>(sqlite3_column_text(statement, column))
                         : sqlite3_column_blob(statement, column);
  const int size = sqlite3_column_bytes(statement, column);
  if (data == nullptr) {
    if (size > 0 || sqlite3_errcode(connection_) == SQLITE_NOMEM) fail_sqlite(connection_, path_);
    return {};
  }
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

Database::Database(std::string path, Mode mode) : path_(std::move(path)) {
  if (mode == Mode::kReadOnly && !file_exists(path_)) {
    fail(ErrorCode::kNotFound, "[{}] does not exist", path_);
  }
  if (mode == Mode::kCreate) {
    open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    return;
  }
  open(SQLITE_OPEN_READONLY);
  // What a killed writer was in the middle of stands in a journal, and only a connection that may
  // write can undo it.
  if (sqlite3_exec(connection_.get(), "SELECT 1 FROM sqlite_master LIMIT 1", nullptr, nullptr,
                   nullptr) == SQLITE_READONLY) {
    open(SQLITE_OPEN_READWRITE);
    execute("PRAGMA query_only = ON");
  }
}

void Database::open(int flags) {
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &connection, flags, nullptr);
  connection_.reset(connection);
  if (connection == nullptr) fail(ErrorCode::kResourceExhausted, "[{}] out of memory", path_);
  if (code != SQLITE_OK) fail_sqlite(connection, path_);
  sqlite3_busy_timeout(connection, kBusyMilliseconds);
  sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, kMaxValue);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  execute("PRAGMA cell_size_check = ON");
}

void Database::execute(const char* sql) {
  if (sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail_sqlite(connection_.get(), path_);
  }
}

void Database::leave_write_ahead_mode() noexcept {
  sqlite3_busy_timeout(connection_.get(), 0);
  sqlite3_exec(connection_.get(), "PRAGMA journal_mode = DELETE", nullptr, nullptr, nullptr);
}

int64_t Database::query_integer(const char* sql) const {
  Statement statement = prepare(sql);
  if (!statement.step()) fail(ErrorCode::kCorruptData, "[{}] a value is missing", path_);
  return statement.integer(0);
}

}  // namespace alambic
