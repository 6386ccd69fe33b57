//! What an API server says when it does not do what it was asked. Only computes.

use std::time::Duration;

use kube::core::Status;

/// The object is not there.
pub const MISSING: u16 = 404;
/// Somebody else's change is in the way.
pub const CONFLICT: u16 = 409;
/// The server has checked the object and refuses it.
pub const INVALID: u16 = 422;

/// What came of a request that the API server did not carry out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no cluster to speak to.
    #[error(
        "read the kubeconfig; name one with `--kubeconfig`, and a context in it with `--context`"
    )]
    Configure(#[source] kube::config::KubeconfigError),
    /// What the kubeconfig says cannot be used for a connection.
    #[error("use what the kubeconfig says")]
    Connect(#[source] kube::Error),
    /// The API server does not answer.
    #[error("{attempt}: the API server does not answer for {} s", waited.as_secs())]
    Unreachable {
        /// What was asked of it.
        attempt: String,
        /// How long it was waited for.
        waited: Duration,
        /// What the last try said.
        source: Box<kube::Error>,
    },
    /// The API server does not do it.
    #[error("{attempt}: {message}")]
    Refused {
        /// What was asked.
        attempt: String,
        /// The HTTP status; see [`CONFLICT`], [`INVALID`] and [`MISSING`].
        code: u16,
        /// The server's words, which name the fields, and who else holds them.
        message: String,
    },
    /// The answer is not one of this API.
    #[error("{attempt}: the answer makes no sense")]
    Garbage {
        /// What was asked.
        attempt: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// Did the server answer with this HTTP status?
    pub fn is(&self, status: u16) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == status)
    }
}

/// May the same request succeed a moment later?
pub(super) fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) if is_malformed(status) => false,
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::HttpError(_) => true,
        _ => false,
    }
}

/// The API server answers an object with a field that its kind does not have as if it had failed itself, code 500,
/// when it is to be applied.
fn is_malformed(status: &Status) -> bool {
    status.code == 500 && status.message.contains("typed patch object")
}

pub(super) fn refusal(attempt: &str, error: kube::Error) -> Error {
    let attempt = attempt.to_owned();
    let kube::Error::Api(status) = error else {
        let source = Box::new(error);
        return Error::Garbage { attempt, source };
    };
    let message = status.message.clone();
    let (code, message) = match status.code {
        400 | INVALID => (INVALID, message),
        _ if is_malformed(&status) => (INVALID, message),
        401 | 403 => (403, format!("not allowed: {message}")),
        CONFLICT => (CONFLICT, message),
        code => (code, format!("{message} (code {code})")),
    };
    Error::Refused {
        attempt,
        code,
        message,
    }
}
