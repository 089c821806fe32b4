//! An application's URL, as Diesel and `diesel-async` take it, for the driver of this program.

use std::path::PathBuf;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use url::Url;

/// Where a server is, and how to log in there.
#[derive(Clone)]
pub struct Address {
    pub opts: OptsBuilder,
    /// Whether an unencrypted connection will do if the server has no TLS.
    pub may_be_plain: bool,
    /// Without user and password, for messages.
    pub shown: String,
}

/// What Diesel's URLs say of the connection, and the driver calls otherwise.
#[derive(Default)]
struct OfDiesel {
    unix_socket: Option<String>,
    ssl_mode: Option<String>,
    ssl_ca: Option<String>,
    ssl_cert: Option<String>,
    ssl_key: Option<String>,
}

impl Address {
    /// # Errors
    ///
    /// Returns what is wrong. It never has the password in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the URL of the server is not valid: {what}");
        let mut url = Url::parse(text).map_err(|error| {
            wrong(&format!(
                "{error} (it is like mysql://user:password@host:3306/database, with %XX for special characters)"
            ))
        })?;
        // Whatever comes after an unescaped `?`, `#` or `/` of a password would be shown.
        if [url.path(), url.query().unwrap_or(""), url.fragment().unwrap_or("")].iter().any(|part| part.contains('@')) {
            return Err(wrong("there is an `@` after the host; write special characters of a password as %XX"));
        }
        if url.path_segments().is_some_and(|segments| segments.count() > 1) {
            return Err(wrong("after the host comes the database, and nothing else"));
        }
        let (of_diesel, others) = OfDiesel::split(&url);
        url.query_pairs_mut().clear().extend_pairs(others);
        let opts = Opts::from_url(url.as_str()).map_err(|error| wrong(&error.to_string()))?;
        let shown = match &of_diesel.unix_socket {
            Some(path) => path.clone(),
            None => format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()),
        };
        let prefers_socket = url.query_pairs().any(|(key, _)| key == "prefer_socket");
        let (tls, may_be_plain) = of_diesel.tls(opts.ssl_opts()).map_err(|error| wrong(&error))?;
        // As `diesel-async` does it.
        let mut opts = OptsBuilder::from_opts(opts).stmt_cache_size(0).client_found_rows(true).ssl_opts(tls);
        if let Some(path) = of_diesel.unix_socket {
            opts = opts.socket(Some(path));
        }
        if !prefers_socket {
            // Otherwise it would leave a local proxy out.
            opts = opts.prefer_socket(false);
        }
        Ok(Self { opts, may_be_plain, shown })
    }

    /// `None`: that of the URL, if there is one.
    pub fn with_any_password(self, password: Option<String>) -> Self {
        match password {
            Some(password) => Self { opts: self.opts.pass(Some(password)), ..self },
            None => self,
        }
    }
}

impl OfDiesel {
    /// And the parameters that are none of Diesel's.
    fn split(url: &Url) -> (Self, Vec<(String, String)>) {
        let (mut found, mut others) = (Self::default(), Vec::new());
        for (key, value) in url.query_pairs().into_owned() {
            match key.as_str() {
                "unix_socket" => found.unix_socket = Some(value),
                "ssl_mode" => found.ssl_mode = Some(value.to_lowercase()),
                "ssl_ca" => found.ssl_ca = Some(value),
                "ssl_cert" => found.ssl_cert = Some(value),
                "ssl_key" => found.ssl_key = Some(value),
                _ => others.push((key, value)),
            }
        }
        (found, others)
    }

    /// What is asked of TLS, and whether the connection may do without. `given`: by the driver's own parameters.
    fn tls(&self, given: Option<&SslOpts>) -> Result<(Option<SslOpts>, bool), String> {
        let mut tls = given.cloned().unwrap_or_default();
        if let Some(file) = &self.ssl_ca {
            tls = tls.with_root_certs(vec![PathBuf::from(file).into()]).with_disable_built_in_roots(true);
        }
        match (&self.ssl_cert, &self.ssl_key) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (PathBuf::from(cert), PathBuf::from(key));
                tls = tls.with_client_identity(Some(ClientIdentity::new(cert.into(), key.into())));
            }
            (None, None) => {}
            _ => return Err("`ssl_cert` and `ssl_key` belong together".to_owned()),
        }
        let any_certificate = || tls.clone().with_danger_accept_invalid_certs(true);
        Ok(match self.ssl_mode.as_deref() {
            Some("disabled") => (None, false),
            Some("preferred") => (Some(any_certificate()), true),
            Some("required") if self.ssl_ca.is_none() => (Some(any_certificate()), false),
            Some("required" | "verify_ca") => (Some(tls.with_danger_skip_domain_validation(true)), false),
            Some("verify_identity") => (Some(tls), false),
            Some(other) => return Err(format!("unknown `ssl_mode` {other:?}")),
            // As libmariadb and libmysqlclient do it with Diesel.
            None if self.ssl_ca.is_some() => (Some(tls.with_danger_skip_domain_validation(true)), false),
            None => (given.map(|_| tls), false),
        })
    }
}
