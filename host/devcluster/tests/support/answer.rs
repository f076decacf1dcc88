//! What a server answered: its code, its body, and what it warned of.

use kube::client::Body;
use serde_json::{Value, json};

#[allow(dead_code, reason = "one of the binaries that share it asks for headers")]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// Reads all of it, with each text as `shown` gives it. A body that is no JSON is a text.
    pub(crate) async fn read(response: http::Response<Body>, shown: impl Fn(&str) -> String) -> Self {
        let code = response.status().as_u16();
        let headers = response.headers().clone();
        let warnings = headers.get_all("warning").iter();
        let warnings = warnings.map(|warning| shown(warning.to_str().unwrap())).collect();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let text = shown(&String::from_utf8_lossy(&bytes));
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        Self { code, headers, body, warnings }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.code < 300, "{} {} {:?}", self.code, self.body, self.warnings);
        self.body
    }

    /// The request was refused with this code and reason.
    #[track_caller]
    pub(crate) fn refused(self, code: u16, reason: &str) -> Value {
        assert_eq!(
            (self.code, self.body["reason"].as_str().unwrap_or_default()),
            (code, reason),
            "{}",
            self.body
        );
        assert_eq!(self.body["kind"], "Status");
        assert_eq!(self.body["code"], code);
        self.body
    }
}
