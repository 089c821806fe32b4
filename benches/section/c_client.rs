//! The C client, called as sparingly as it can be: statements prepared and buffers bound once.

// The floor has to be free of any wrapper's cost, so this calls the C library itself. The safety of each call stands
// beside it. A failure panics: then there is nothing to compare with.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ffi::{CStr, CString, c_char, c_ulong, c_void},
    mem, ptr,
};

use mysqlclient_sys as ffi;
use percent_encoding::percent_decode_str;
use url::Url;

/// A connection, never closed: the benchmark ends with its process.
pub struct Connection(*mut ffi::MYSQL);

impl Connection {
    /// The same session as Diesel's, as far as cost goes: same transport, same character set.
    ///
    /// Of what Diesel's URLs may say, it knows all but the `ssl_` options.
    pub fn establish(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let text = |part: &str| CString::new(percent_decode_str(part).collect::<Vec<u8>>()).unwrap();
        let host = url.host_str().map(text);
        let user = text(url.username());
        let password = url.password().map(text);
        let database = text(url.path().trim_start_matches('/'));
        let socket = url.query_pairs().find(|(key, _)| key == "unix_socket").map(|(_, path)| text(&path));
        let or_null = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());

        // SAFETY: the strings outlive the calls, which copy them; a null pointer means "not given". The handle is the
        // one that `mysql_init` gave.
        unsafe {
            let conn = ffi::mysql_init(ptr::null_mut());
            assert!(!conn.is_null(), "out of memory");
            let charset = c"utf8mb4".as_ptr().cast::<c_void>();
            ffi::mysql_options(conn, ffi::mysql_option::MYSQL_SET_CHARSET_NAME, charset);
            let connected = ffi::mysql_real_connect(
                conn,
                or_null(&host),
                user.as_ptr(),
                or_null(&password),
                database.as_ptr(),
                url.port().unwrap_or(0).into(),
                or_null(&socket),
                0,
            );
            assert!(!connected.is_null(), "{}", message(ffi::mysql_error(conn)));
            Self(conn)
        }
    }

    /// Prepares a question whose answer is one row of so many numbers.
    pub fn prepare<const COLUMNS: usize>(&self, sql: &CStr, parameters: &[Parameter]) -> Statement<COLUMNS> {
        // Leaked: the C library keeps pointers to it for as long as the statement lives, which is to the end.
        let answer: &'static [Column; COLUMNS] = Box::leak(Box::new(std::array::from_fn(|_| Column::default())));
        let mut parameters: Vec<_> = parameters.iter().map(Parameter::bind).collect();
        let mut results = answer.each_ref().map(Column::bind);

        // SAFETY: the handle is this connection's, which is never closed. Both bind calls copy the structures, as many
        // as the statement has parameters and columns (checked); the buffers in them are static. The library only reads
        // those of the parameters. It writes to the columns, which are `Cell`s and not shared with a thread.
        unsafe {
            let statement = ffi::mysql_stmt_init(self.0);
            assert!(!statement.is_null(), "out of memory");
            let prepared =
                ffi::mysql_stmt_prepare(statement, sql.as_ptr(), c_ulong::try_from(sql.count_bytes()).unwrap());
            check(statement, prepared == 0);
            let count = usize::try_from(ffi::mysql_stmt_param_count(statement)).unwrap();
            assert_eq!(count, parameters.len(), "parameters of {sql:?}");
            assert_eq!(ffi::mysql_stmt_field_count(statement) as usize, COLUMNS, "columns of {sql:?}");
            check(statement, ffi::mysql_stmt_bind_param(statement, parameters.as_mut_ptr()) == ffi::FALSE);
            check(statement, ffi::mysql_stmt_bind_result(statement, results.as_mut_ptr()) == ffi::FALSE);
            Statement { statement, answer }
        }
    }
}

/// What a statement binds. Static, since the C library keeps pointers.
pub enum Parameter {
    Text(&'static str),
    Binary(&'static str),
    Seconds(&'static u32),
    Session(&'static Cell<i64>),
}

impl Parameter {
    fn bind(&self) -> ffi::MYSQL_BIND {
        use ffi::enum_field_types::*;
        match *self {
            Self::Text(text) => bind(MYSQL_TYPE_STRING, text.as_ptr(), text.len()),
            Self::Binary(bytes) => bind(MYSQL_TYPE_BLOB, bytes.as_ptr(), bytes.len()),
            Self::Seconds(seconds) => bind(MYSQL_TYPE_LONG, ptr::from_ref(seconds), size_of::<u32>()),
            Self::Session(id) => bind(MYSQL_TYPE_LONGLONG, id.as_ptr(), size_of::<i64>()),
        }
    }
}

#[derive(Default)]
struct Column {
    number: Cell<i64>,
    is_null: Cell<ffi::my_bool>,
}

impl Column {
    fn bind(&self) -> ffi::MYSQL_BIND {
        let kind = ffi::enum_field_types::MYSQL_TYPE_LONGLONG;
        ffi::MYSQL_BIND { is_null: self.is_null.as_ptr(), ..bind(kind, self.number.as_ptr(), size_of::<i64>()) }
    }

    fn get(&self) -> Option<i64> {
        (self.is_null.get() == ffi::FALSE).then(|| self.number.get())
    }
}

/// A prepared statement with its buffers, never closed.
pub struct Statement<const COLUMNS: usize> {
    statement: *mut ffi::MYSQL_STMT,
    answer: &'static [Column; COLUMNS],
}

impl<const COLUMNS: usize> Statement<COLUMNS> {
    /// Executes it and fetches the answer.
    pub fn ask(&mut self) -> [Option<i64>; COLUMNS] {
        // SAFETY: the statement and its connection are never closed, its buffers are static. Both are this thread's
        // only, since a raw pointer is not `Send`.
        unsafe {
            check(self.statement, ffi::mysql_stmt_execute(self.statement) == 0);
            check(self.statement, ffi::mysql_stmt_store_result(self.statement) == 0);
            check(self.statement, ffi::mysql_stmt_fetch(self.statement) == 0);
            check(self.statement, ffi::mysql_stmt_free_result(self.statement) == ffi::FALSE);
        }
        self.answer.each_ref().map(Column::get)
    }
}

/// A buffer of the caller's, for a value that is not NULL.
fn bind<T>(kind: ffi::enum_field_types, buffer: *const T, bytes: usize) -> ffi::MYSQL_BIND {
    // SAFETY: a C structure of numbers and pointers, for which zero is "not given", as its manual has it.
    let mut bind: ffi::MYSQL_BIND = unsafe { mem::zeroed() };
    bind.buffer_type = kind;
    bind.buffer = buffer.cast_mut().cast();
    bind.buffer_length = c_ulong::try_from(bytes).unwrap();
    bind
}

/// # Safety
///
/// `statement` is open.
unsafe fn check(statement: *mut ffi::MYSQL_STMT, ok: bool) {
    // SAFETY: an open statement has a message, if only an empty one.
    assert!(ok, "{}", unsafe { message(ffi::mysql_stmt_error(statement)) });
}

/// # Safety
///
/// `text` is a C string.
unsafe fn message(text: *const c_char) -> String {
    // SAFETY: the caller's word.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
