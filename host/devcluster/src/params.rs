//! Query parameters, checked and typed.

use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use http::{HeaderMap, Uri, header::USER_AGENT};

use crate::accept::Form;
use crate::constraints;
use crate::delete::{self, DeleteOptions};
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::list::ListRequest;
use crate::route::Target;
use crate::selector::{self, FieldSelector, LabelSelector, Selector};
use crate::table::Include;
use crate::watch::WatchRequest;
use crate::write::FieldValidation;

const LONGEST_MANAGER: usize = 128;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| Self(query.0))
            .map_err(|error| ApiError::bad_request(format!("invalid query: {error}")))
    }

    /// Checks how long the request may take. None here takes long enough for that to matter.
    pub(crate) fn check_timeout(&self) -> Result<(), ApiError> {
        match Some(self.get("timeout"))
            .filter(|text| !text.is_empty())
            .and_then(constraints::duration_problem)
        {
            Some(why) => {
                let why = format!("invalid timeout specified in the request URL - time: {why}");
                Err(ApiError::bad_request(why))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// An absent flag is `None`; one that is there is true, whatever it says but `false` and `0`: see apimachinery's
    /// `Convert_Slice_string_To_bool`.
    fn flag(&self, name: &str) -> Option<bool> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        // Less than nothing is nothing.
        Ok(self.integer(name)?.map(|number| u64::try_from(number).unwrap_or(0)))
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|error: ParseIntError| {
                let why = match error.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            }),
        }
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.flag("watch").unwrap_or(false)
    }

    pub(crate) fn force(&self) -> bool {
        self.flag("force").unwrap_or(false)
    }

    pub(crate) fn dry_run(&self) -> bool {
        !self.all("dryRun").is_empty()
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Checks what every write may ask for; `options` is the kind that holds it, such as `PatchOptions`.
    pub(crate) fn check_write(&self, options: &str, is_apply: bool) -> Result<(), ApiError> {
        let mut causes = Vec::new();
        if options == "PatchOptions" && !is_apply && self.force() {
            causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
        }
        let manager = self.get("fieldManager");
        if is_apply && manager.is_empty() {
            causes.push(Cause::required("fieldManager", "is required for apply patch"));
        }
        if manager.len() > LONGEST_MANAGER {
            let message = format!("Too long: may not be more than {LONGEST_MANAGER} bytes");
            causes.push(Cause { reason: "FieldValueTooLong", field: "fieldManager".to_owned(), message });
        }
        if let Some((index, bad)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            let why = format!("invalid character U+{:04X} (at position {index})", u32::from(bad));
            causes.push(Cause::invalid("fieldManager", &manager.into(), &why));
        }
        causes.extend(self.dry_run_problem());
        let validation = self.get("fieldValidation");
        let known = ["", "Ignore", "Strict", "Warn"];
        if !known.contains(&validation) {
            let known = known.map(|one| one.into());
            causes.push(Cause::unsupported("fieldValidation", &validation.into(), &known));
        }
        match causes.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid_options(options, &causes)),
        }
    }

    fn dry_run_problem(&self) -> Option<Cause> {
        dry_run_problem(&self.all("dryRun"))
    }

    /// Of what [`Self::check_write`] has let pass.
    pub(crate) fn field_validation(&self) -> FieldValidation {
        match self.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        }
    }

    /// The manager to record for a write: as named, or the client's name.
    pub(crate) fn field_manager(&self, headers: &HeaderMap) -> String {
        match self.get("fieldManager") {
            "" => {
                let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
                let name = agent.split('/').next().unwrap_or_default();
                if name.is_empty() { "unknown".to_owned() } else { name.chars().take(128).collect() }
            }
            manager => manager.to_owned(),
        }
    }

    pub(crate) fn include(&self) -> Result<Include, ApiError> {
        match self.get("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(ApiError::bad_request(format!(
                "invalid includeObject {other:?}: expected None, Metadata or Object"
            ))),
        }
    }

    pub(crate) fn selector(&self, kind: &Kind, name: Option<&str>) -> Result<Selector, ApiError> {
        let labels = LabelSelector::parse(self.get("labelSelector"))
            .map_err(|why| ApiError::bad_request(format!("unable to parse label selector: {why}")))?;
        let mut fields = self.get("fieldSelector").to_owned();
        if let Some(name) = name.map(selector::escape) {
            fields = if fields.is_empty() {
                format!("metadata.name={name}")
            } else {
                format!("{fields},metadata.name={name}")
            };
        }
        let fields = FieldSelector::parse(&fields, kind).map_err(ApiError::bad_request)?;
        Ok(Selector { labels, fields })
    }

    pub(crate) fn list(&self, target: &Target) -> Result<ListRequest, ApiError> {
        // No list takes long enough to be cut off.
        self.number("timeoutSeconds")?;
        Ok(ListRequest {
            namespace: target.namespace.clone(),
            selector: self.selector(&target.kind, None)?,
            limit: usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX),
            continue_token: self.get("continue").to_owned(),
            resource_version: self.get("resourceVersion").to_owned(),
            version_match: self.get("resourceVersionMatch").to_owned(),
            send_initial_events: self.flag("sendInitialEvents"),
            include: self.include()?,
        })
    }

    pub(crate) fn watch(&self, target: &Target, form: Form) -> Result<WatchRequest, ApiError> {
        Ok(WatchRequest {
            namespace: target.namespace.clone(),
            selector: self.selector(&target.kind, target.name.as_deref())?,
            resource_version: self.get("resourceVersion").to_owned(),
            version_match: self.get("resourceVersionMatch").to_owned(),
            send_initial_events: self.flag("sendInitialEvents"),
            bookmarks: self.flag("allowWatchBookmarks").unwrap_or(false),
            timeout: self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            form,
            include: self.include()?,
        })
    }

    /// The options of a deletion that has no body.
    pub(crate) fn delete_options(&self) -> Result<DeleteOptions, ApiError> {
        let given = |name: &str| Some(self.get(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        let options = DeleteOptions {
            uid: given("uid"),
            resource_version: given("resourceVersion"),
            grace: self.integer("gracePeriodSeconds")?,
            propagation: None,
            dry_run: self.dry_run(),
        };
        let policy = self.all("propagationPolicy").first().copied();
        let policy = delete::policy(policy, self.flag("orphanDependents"));
        match (policy, self.dry_run_problem()) {
            (Ok(propagation), None) => Ok(DeleteOptions { propagation, ..options }),
            (policy, problem) => {
                let causes: Vec<Cause> = policy.err().into_iter().chain(problem).collect();
                Err(ApiError::invalid_options("DeleteOptions", &causes))
            }
        }
    }
}

/// What is wrong with what a dry run is to be of, if anything.
pub(crate) fn dry_run_problem(dry_run: &[&str]) -> Option<Cause> {
    let given: Vec<String> = dry_run.iter().map(|text| format!("{text:?}")).collect();
    let message = format!("Unsupported value: [{}]: supported values: \"All\"", given.join(","));
    let is_bad = dry_run.iter().any(|text| *text != "All");
    is_bad.then(|| Cause { reason: "FieldValueNotSupported", field: "dryRun".to_owned(), message })
}
